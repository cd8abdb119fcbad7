/** Horizontal bar charts as SVG, without anything but text. */
import type { Result } from "./results.js";

const WIDTH = 720;
const LABEL_WIDTH = 170;
const FIGURE_WIDTH = 90;
const BAR_HEIGHT = 18;
const GAP = 6;
const TITLE_HEIGHT = 30;
const SUBJECT_COLOUR = "#0b6e4f";
const PEER_COLOUR = "#9aa5b1";

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

export const figure = (value: number): string =>
  value >= 1000
    ? Math.round(value).toLocaleString("en")
    : value >= 100
      ? value.toFixed(0)
      : value.toPrecision(3);

/** One bar per contender, with a line from the lowest to the highest run. */
export function chart(title: string, rows: readonly Result[], subject: string): string {
  const most = Math.max(...rows.map(row => row.max));
  const scale = (WIDTH - LABEL_WIDTH - FIGURE_WIDTH) / most;
  const height = TITLE_HEIGHT + rows.length * (BAR_HEIGHT + GAP);
  const bars = rows.map((row, i) => {
    const y = TITLE_HEIGHT + i * (BAR_HEIGHT + GAP);
    const middle = y + BAR_HEIGHT / 2;
    const x = (value: number): string => (LABEL_WIDTH + value * scale).toFixed(1);
    const colour = row.contender === subject ? SUBJECT_COLOUR : PEER_COLOUR;
    return [
      `<text x="${LABEL_WIDTH - 8}" y="${middle + 4}" text-anchor="end">${escaped(row.contender)}</text>`,
      `<rect x="${LABEL_WIDTH}" y="${y}" width="${(row.median * scale).toFixed(1)}" height="${BAR_HEIGHT}" fill="${colour}"/>`,
      `<path d="M${x(row.min)} ${middle}H${x(row.max)}" stroke="#222" stroke-width="1.5"/>`,
      `<text x="${Number(x(row.max)) + 8}" y="${middle + 4}">${figure(row.median)}</text>`,
    ].join("\n");
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="13">`,
    `<title>${escaped(title)}</title>`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    `<text x="8" y="20" font-weight="bold">${escaped(title)}</text>`,
    ...bars,
    "</svg>\n",
  ].join("\n");
}
