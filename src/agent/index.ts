export {
  type AgentInitOptions,
  type AgentInitResult,
  type AgentInviteOptions,
  type AgentInviteResult,
  type AgentPeerRow,
  type AgentRevokeResult,
  type AgentRunOptions,
  agentInit,
  agentInvite,
  agentPeers,
  agentRevoke,
  agentRun,
  type KubernetesOptions,
} from "./commands.js";
export {
  type SpaceInstallOptions,
  type SpaceInstallResult,
  spaceInstall,
  spaceInvite,
  spaceRevoke,
  spaceUninstall,
} from "./space.js";
