// Rules of WCAG 2.1 that a static page can break, checked on the page as it is laid out. Returns {problems, checked}.
const problems = [], checked = { text: 0, images: 0 };
const say = (kind, node, more) => problems.push(`${kind}: ${node.tagName.toLowerCase()} ${more ?? ""} ${(node.textContent || "").trim().slice(0, 40)}`);
const shown = (node) => node.checkVisibility() && node.getClientRects().length > 0;

// Colours as they end up: text over every half-transparent ground below it, down to the page.
const parse = (text) => {
  const made = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  made.clearRect(0, 0, 1, 1);
  made.fillStyle = text;
  made.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = made.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
const ground = (node) => {
  const layers = [];
  for (let at = node; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  return layers.reverse().reduce((below, layer) => over(layer, below), dark ? [0, 0, 0, 1] : [255, 255, 255, 1]);
};
const light = (colour) => {
  const [r, g, b] = colour.slice(0, 3).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let text = walker.nextNode(); text; text = walker.nextNode()) {
  const node = text.parentElement;
  if (!text.textContent.trim() || !node || node.closest("script, style, defs") || !shown(node)) continue;
  const style = getComputedStyle(node);
  const below = ground(node);
  const ink = over(parse(node.closest("svg") ? style.fill : style.color), below);
  const [low, high] = [light(ink), light(below)].sort((a, b) => a - b);
  const ratio = (high + 0.05) / (low + 0.05);
  const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
  checked.text += 1;
  if (ratio < (large ? 3 : 4.5)) say("contrast", node, ratio.toFixed(2));
}

if (!document.documentElement.lang) say("lang", document.documentElement);
if (!document.title.trim()) say("title", document.documentElement);
if (document.querySelectorAll("main").length !== 1) say("landmark", document.body, "not one main");
for (const node of document.body.children)
  if (!node.matches("main, header, footer, nav, script, pre") && shown(node)) say("landmark", node, "outside of any");
for (const node of document.querySelectorAll("nav, section, [role=region]"))
  if (!node.getAttribute("aria-label") && !node.getAttribute("aria-labelledby")) say("label", node);

let level = 0;
for (const node of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
  const now = Number(node.tagName[1]);
  if (now > level + 1) say("heading", node, `after h${level}`);
  level = now;
}
if (document.querySelectorAll("h1").length !== 1) say("heading", document.body, "not one h1");

for (const node of document.querySelectorAll("img, svg[role=img]")) {
  checked.images += 1;
  if (!(node.getAttribute("alt") || node.getAttribute("aria-label"))) say("alt", node);
}
for (const node of document.querySelectorAll("a[href], button, input, select, textarea, summary"))
  if (!(node.textContent.trim() || node.getAttribute("aria-label"))) say("label", node);
for (const node of document.querySelectorAll("a[href^='#']"))
  if (!document.getElementById(node.getAttribute("href").slice(1))) say("target", node, node.getAttribute("href"));
for (const node of document.querySelectorAll("th")) if (!node.scope) say("header", node);
for (const table of document.querySelectorAll("table")) if (!table.querySelector("th")) say("header", table);
for (const node of document.querySelectorAll("*"))
  if (/auto|scroll/.test(getComputedStyle(node).overflowX) && node.scrollWidth > node.clientWidth && node.tabIndex < 0)
    say("keyboard", node, "scrolls, and no key reaches it");
const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) problems.push(`twice: #${id}`);
if (document.documentElement.scrollWidth > innerWidth + 1)
  problems.push(`width: the page is ${document.documentElement.scrollWidth} wide in a window of ${innerWidth}`);
return { problems, checked };
