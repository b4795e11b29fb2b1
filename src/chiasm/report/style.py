"""What every page looks like: light, dark and on paper, with no font or script from anywhere else."""

CSS = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf8; --card: #ffffff; --ink: #1d2230; --soft: #5d6577; --rule: #e2e0da; --accent: #0b6a9c;
  --good: #0a6b4f; --good-back: #e2f4ec; --bad: #a33a09; --bad-back: #fdebe1; --note-back: #e6f1f8;
    --plain-back: #eeece7;
  --series-1: #0072b2; --series-2: #d55e00; --series-3: #009e73; --series-4: #cc79a7;
  --series-5: #e69f00; --series-6: #56b4e9; --series-7: #85858c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171d; --card: #1c2028; --ink: #e6e8ee; --soft: #9ba3b4; --rule: #323845; --accent: #6cbcf0;
    --good: #6fdcb4; --good-back: #17352c; --bad: #ffa477; --bad-back: #3d2418; --note-back: #18303f;
    --plain-back: #2a303b;
    --series-1: #4fa9e6; --series-2: #ff8a4c; --series-3: #2fc99b; --series-4: #e59cc3;
    --series-5: #f2b84b; --series-6: #a5dbf8; --series-7: #9a9aa2;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2.5rem 1.25rem 5rem; max-width: 68rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: break-word;
}
p, ul, ol, .callout { max-width: 46rem; }
a { color: var(--accent); text-underline-offset: .15em; }
h1 { font-size: 2.3rem; line-height: 1.15; letter-spacing: -.02em; margin: 0 0 .75rem; text-wrap: balance; }
h2 { font-size: 1.45rem; letter-spacing: -.01em; margin: 0 0 .75rem; }
h3 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
.lead { font-size: 1.15rem; color: var(--soft); margin: 0 0 1.5rem; }
nav { display: flex; flex-wrap: wrap; gap: .4rem; margin: 1.5rem 0 0; font-size: .88rem; }
nav a { padding: .15rem .7rem; border: 1px solid var(--rule); border-radius: 9rem; text-decoration: none; }
nav a:hover { border-color: var(--accent); }
section { margin-top: 2.75rem; padding-top: 2rem; border-top: 1px solid var(--rule); }
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { background: var(--plain-back); padding: .8rem 1rem; border-radius: .5rem; overflow-x: auto; }
.facts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1.5rem 0;
}
.facts div { background: var(--card); border: 1px solid var(--rule); border-radius: .7rem; padding: .8rem 1rem; }
.facts b { display: block; font-size: 1.55rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.facts span { color: var(--soft); font-size: .85rem; line-height: 1.35; display: block; }
.table { margin: 1.25rem 0; }
.scroll { overflow-x: auto; }
.about { color: var(--soft); font-size: .92rem; margin: 0 0 .6rem; }
table { border-collapse: collapse; font-size: .92rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .65rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--rule); }
th:first-child { text-align: left; padding-left: .25rem; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
thead th[scope=colgroup] { text-align: center; }
thead th[scope=colgroup]:empty { border-bottom-color: transparent; }
tbody th { font-weight: 600; white-space: nowrap; }
td small { display: block; color: var(--soft); font-weight: 400; font-size: .84em; white-space: nowrap; }
td.best { background: var(--good-back); color: var(--good); font-weight: 700; }
.badge {
  display: inline-block; padding: .05rem .5rem; border-radius: 9rem; font-size: .76rem; font-weight: 600;
  line-height: 1.5; white-space: nowrap; background: var(--plain-back); color: var(--soft);
}
.badge.good { background: var(--good-back); color: var(--good); }
.badge.bad { background: var(--bad-back); color: var(--bad); }
.badge.note { background: var(--note-back); color: var(--accent); }
.callout {
  padding: .9rem 1.1rem; border-radius: .6rem; border-left: 4px solid var(--soft);
  background: var(--plain-back); margin: 1.25rem 0;
}
.callout > :first-child { margin-top: 0; }
.callout > :last-child { margin-bottom: 0; }
.callout.good { border-color: var(--good); background: var(--good-back); }
.callout.bad { border-color: var(--bad); background: var(--bad-back); }
.callout.note { border-color: var(--accent); background: var(--note-back); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.25rem; }
figure {
  margin: 1.25rem 0; padding: 1rem; background: var(--card); border: 1px solid var(--rule);
  border-radius: .7rem;
}
figure svg { display: block; width: 100%; height: auto; }
figure svg * { stroke-linejoin: round; stroke-linecap: butt; }
figure svg text { font-family: inherit !important; }
figcaption { color: var(--soft); font-size: .88rem; line-height: 1.45; margin-top: .6rem; }
.grid {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem; margin: 1.25rem 0;
}
.card {
  background: var(--card); border: 1px solid var(--rule); border-radius: .7rem; overflow: hidden;
  font-size: .9rem; line-height: 1.4;
}
.card img {
  display: block; width: 100%; aspect-ratio: 4 / 3; object-fit: contain; background: var(--plain-back);
  image-rendering: auto;
}
.card dl { margin: 0; padding: .75rem .9rem; }
.card dt { color: var(--soft); font-size: .76rem; font-weight: 600; }
.card dd { margin: 0 0 .65rem; }
.card dd:last-child { margin-bottom: 0; }
.card dd span.badge { margin: .2rem .25rem 0 0; }
.steps {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem;
  counter-reset: step; padding: 0; margin: 1.25rem 0; list-style: none; max-width: none;
}
.steps li {
  background: var(--card); border: 1px solid var(--rule); border-radius: .7rem; padding: .75rem .9rem;
  font-size: .86rem; line-height: 1.45; color: var(--soft); counter-increment: step;
}
.steps li::before {
  content: counter(step); display: inline-block; width: 1.5rem; height: 1.5rem; line-height: 1.5rem;
  margin-right: .45rem; text-align: center; border-radius: 50%; background: var(--note-back);
  color: var(--accent); font-weight: 700; font-size: .8rem;
}
.steps strong { color: var(--ink); }
details { margin: 1rem 0; }
summary { cursor: pointer; color: var(--accent); font-weight: 600; }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media print {
  :root { --paper: #fff; --card: #fff; font-size: 9pt; }
  body { max-width: none; padding: 0; }
  nav { display: none; }
  section, figure, .card, .callout, tr { break-inside: avoid; }
  section { break-inside: auto; margin-top: 1.5rem; padding-top: 1rem; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; }
  table { font-size: .8rem; }
  th, td { padding: .3rem .4rem; }
  .figures { grid-template-columns: 1fr 1fr; }
  details::details-content { content-visibility: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
