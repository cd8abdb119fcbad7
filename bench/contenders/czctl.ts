import { catalogText } from "../../test/lab/catalog.js";
import { makeTeamspace } from "../../test/lab/czctl.js";
import { type Contender, SERVICE_ADDRESS, SERVICE_PORT } from "../contender.js";

export const czctl: Contender = {
  name: "czctl",
  needs: ["/dev/net/tun"],
  async start(sandbox, { laptop, cluster }) {
    const catalog = catalogText([
      {
        namespace: "bench",
        name: "speed",
        clusterIps: [SERVICE_ADDRESS],
        ports: [
          { name: "tcp", protocol: "TCP", port: SERVICE_PORT },
          { name: "udp", protocol: "UDP", port: SERVICE_PORT },
        ],
      },
    ]);
    const { agent, czctl } = await makeTeamspace({ sandbox, laptop, cluster }, catalog);
    return {
      target: await czctl.address("speed.bench"),
      async pids() {
        const { dataplane } = await czctl.status();
        return [dataplane?.pid ?? 0, agent.dataplanePid()].filter(pid => pid > 0);
      },
    };
  },
};
