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
} from "./commands.js";
