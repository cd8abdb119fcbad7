/** Datagrams at rising rates by iperf3, up: how many arrive a second, and what is lost on the way. */
import { startIperf } from "../../test/lab/programs.js";
import { SERVICE_ADDRESS } from "../contender.js";
import { cpuSeconds } from "../cpu.js";
import type { Scenario } from "../scenario.js";
import { transfer } from "./bulk.js";

const RATES_MBIT = [100, 500, 1_000, 2_000];
/** Fits one packet of every tunnel here. */
const DATAGRAM_BYTES = 1_300;

export const udp: Scenario = {
  name: "udp",
  rounds: RATES_MBIT.map(rate => `${rate} Mbit/s`),
  needs: ["iperf3"],
  maxRuns: 3,
  // Its way of redirecting carries no datagrams.
  maxRunsOf: { sshuttle: 0 },
  async prepare({ laptop, cluster }, { target }) {
    await startIperf(cluster, SERVICE_ADDRESS);
    await transfer(laptop, target, "up", 1, ["--udp", "--bitrate", "100M", "--length", `${DATAGRAM_BYTES}`]);
  },
  async measure(round, { laptop }, running, seconds) {
    const pids = await running.pids();
    const before = cpuSeconds(pids);
    const rate = `${Number.parseInt(round, 10)}M`;
    const options = ["--udp", "--bitrate", rate, "--length", `${DATAGRAM_BYTES}`];
    const { gigabitsPerSecond, bytes, lostPercent } = await transfer(
      laptop,
      running.target,
      "up",
      seconds,
      options,
    );
    const used = cpuSeconds(pids) - before;
    return [
      {
        variant: `${round}, arrived`,
        unit: "packets/s",
        value: (gigabitsPerSecond * 1e9) / 8 / DATAGRAM_BYTES,
        ...(pids.length > 0 ? { cpuSecondsPerGB: used / (bytes / 1e9) } : {}),
      },
      { variant: `${round}, lost`, unit: "%", value: lostPercent },
    ];
  },
};
