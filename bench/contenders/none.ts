/** No tunnel: plain routes through the same three hosts. The ceiling. */
import { AGENT_ADDRESS } from "../../test/lab/topology.js";
import { type Contender, SERVICE_ADDRESS } from "../contender.js";

export const none: Contender = {
  name: "none",
  needs: [],
  async start(_sandbox, { internet }) {
    await internet.ip(`route add 10.96.0.0/16 via ${AGENT_ADDRESS}\n`);
    return { target: SERVICE_ADDRESS, pids: async () => [] };
  },
};
