// What a run left behind, shown by kind; what is not known is a link to save, never run.

import { text } from "./api.js";
import { empty, h, pretty } from "./dom.js";
import { markdown } from "./markdown.js";

const SHOWN_BYTES_MAX = 1000000;
const PICTURES = /\.(svg|png)$/i;

export function artifacts(run, events) {
  const written = new Map(events.filter((one) => one.kind === "artifact_written" && one.payload?.path).map((one) => [one.payload.path, one.payload]));
  if (!written.size) return empty("This run wrote no file.");
  return [...written.values()].map((file) => one(run.agent_type, file));
}

function one(agent, file) {
  const path = `agents/artifacts/${encodeURIComponent(agent)}/${file.path.split("/").map(encodeURIComponent).join("/")}`;
  const place = h("div", { class: "file" });
  const details = h("details", { id: `file-${file.path}`, ontoggle: () => details.open && !place.childNodes.length && show(place, path, file) },
    h("summary", {}, file.path, " ", h("span", { class: "quiet" }, size(file.bytes))), place);
  // A report is what a run is read for.
  if (file.path.endsWith(".md")) details.open = true;
  return details;
}

async function show(place, path, file) {
  place.append(h("p", { class: "quiet" }, "Loading …"));
  try {
    place.replaceChildren(await content(path, file), h("p", {}, h("a", { href: path, download: file.path.split("/").pop() }, "Save the file")));
  } catch (error) {
    place.replaceChildren(h("p", { class: "failure", role: "alert" }, error.message));
  }
}

async function content(path, file) {
  // In an <img> a picture runs no script and loads nothing.
  if (PICTURES.test(file.path)) return h("img", { src: path, alt: `Picture ${file.path}`, class: "picture" });
  if (!/\.(md|json|txt|csv)$/i.test(file.path)) return h("p", { class: "quiet" }, "This kind of file is not shown here.");
  if (file.bytes > SHOWN_BYTES_MAX) return h("p", { class: "quiet" }, "The file is too large to be shown here.");
  const found = await text(path);
  if (file.path.endsWith(".md")) return markdown(found);
  if (!file.path.endsWith(".json")) return h("pre", { tabindex: "0" }, found);
  try {
    return pretty(JSON.parse(found));
  } catch {
    return h("pre", { tabindex: "0" }, found);
  }
}

function size(bytes) {
  if (bytes === null || bytes === undefined) return "";
  return bytes < 1024 ? `${bytes} B` : bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} kB` : `${(bytes / 1048576).toFixed(1)} MB`;
}
