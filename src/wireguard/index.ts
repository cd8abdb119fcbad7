export {
  type DatagramOutput,
  Device,
  type DeviceConfig,
  type DeviceEvents,
  type DeviceOptions,
  type PeerChange,
  type PeerConfig,
} from "./device.js";
export { Peer } from "./peer.js";
