import { catalogText } from "../../test/lab/catalog.js";
import { makeTeamspace } from "../../test/lab/czctl.js";
import { type Contender, SERVICE_ADDRESS, SERVICE_PORTS } from "../contender.js";

export const czctl: Contender = {
  name: "czctl",
  needs: ["/dev/net/tun"],
  async start(sandbox, { laptop, cluster }) {
    const catalog = catalogText([
      {
        namespace: "bench",
        name: "speed",
        clusterIps: [SERVICE_ADDRESS],
        ports: SERVICE_PORTS.flatMap(port => [
          { name: `t${port}`, protocol: "TCP" as const, port },
          { name: `u${port}`, protocol: "UDP" as const, port },
        ]),
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
