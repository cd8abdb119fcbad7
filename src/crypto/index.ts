export {
  type CryptoChoice,
  type CryptoOptions,
  createCrypto,
  createFastCrypto,
  createPlainCrypto,
} from "./create.js";
