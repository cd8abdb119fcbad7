/**
 * Requests for a while, each on a connection of its own, none tried twice: `node requests.js URL COUNT`, or
 * until SIGTERM with COUNT 0. Prints who answered how often, and the errors.
 */
import { get } from "node:http";

const [url = "", count = "0"] = process.argv.slice(2);
const limit = Number(count) || Number.POSITIVE_INFINITY;
const answers: Record<string, number> = {};
const errors: Record<string, number> = {};
let stopped = false;
process.once("SIGTERM", () => {
  stopped = true;
});

function request(): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false, timeout: 5_000 }, response => {
      let text = "";
      response.setEncoding("utf8").on("data", chunk => {
        text += chunk;
      });
      response.on("end", () => resolve(text.trim()));
      response.on("error", reject);
    })
      .on("timeout", function (this: { destroy(error: Error): void }) {
        this.destroy(new Error("timeout"));
      })
      .on("error", reject);
  });
}

console.log("started");
for (let i = 0; i < limit && !stopped; i++) {
  try {
    const who = await request();
    answers[who] = (answers[who] ?? 0) + 1;
  } catch (error) {
    const { code = (error as Error).message } = error as NodeJS.ErrnoException;
    errors[code] = (errors[code] ?? 0) + 1;
  }
}
console.log(JSON.stringify({ answers, errors }));
