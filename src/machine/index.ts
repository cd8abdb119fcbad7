export * as avx512 from "./avx512.js";
export { addCode, type NativeFunction } from "./code.js";
export { lookAtProcessor, type Vectors } from "./processor.js";
export { useNativeStrided } from "./strided.js";
export * from "./x64.js";
