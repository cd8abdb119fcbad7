/** `npm run build`: see ready.mjs. */
import { makeReady } from "./ready.mjs";

makeReady();
