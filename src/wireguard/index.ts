export { MESSAGE_TRANSPORT, PADDING_BYTES, TAG_BYTES, TRANSPORT_HEADER_BYTES } from "./constants.js";
export {
  Device,
  type DeviceConfig,
  type DeviceOptions,
  type PeerChange,
  type PeerConfig,
} from "./device.js";
export { type DeviceCounters, Drop, type DropReason, dropReasonName } from "./drop.js";
export { Peer } from "./peer.js";
export type { DatagramOutput, DeviceEvents } from "./peer-host.js";
export { ALIKE_BYTES } from "./transport-run.js";
export {
  applySet,
  ERRNO_INVALID,
  errnoLine,
  parseSet,
  removedBy,
  renderGet,
  type UapiPeer,
  type UapiPorts,
  type UapiSet,
} from "./uapi.js";
