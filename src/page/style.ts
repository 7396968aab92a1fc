import { createHash } from 'node:crypto'

/** What the status page looks like and how it keeps itself fresh: constants, allowed by their hash and by nothing else. */

export const style = `
:root{color-scheme:light dark;--paper:#f6f7f9;--card:#fff;--ink:#1a2027;--soft:#5c6773;--line:#e1e5ea;--good:#1a7f4b;--warning:#a15c00;--bad:#c22f2f;--quiet:#7b8794;--fill:#1f6feb22;--stroke:#1f6feb;--second:#8250df}
@media(prefers-color-scheme:dark){:root{--paper:#0f1317;--card:#171d23;--ink:#e4e9ee;--soft:#98a4b0;--line:#2a323a;--good:#4cc38a;--warning:#e6a23c;--bad:#ff6b6b;--quiet:#7d8894;--fill:#58a6ff26;--stroke:#58a6ff;--second:#bc8cff}}
*{box-sizing:border-box;margin:0}
body{background:var(--paper);color:var(--ink);font:15px/1.5 Inter,system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1080px;margin:0 auto;padding:24px 16px 48px}
header{display:flex;flex-wrap:wrap;gap:4px 16px;align-items:baseline;justify-content:space-between}
h1{font-size:20px;font-weight:650}
h2{font-size:13px;font-weight:600;color:var(--soft);margin:28px 0 8px;text-transform:uppercase;letter-spacing:.04em}
h3{font-size:15px;font-weight:600;overflow-wrap:anywhere}
.soft,small{color:var(--soft);font-size:13px}
.wrap{overflow-wrap:anywhere}
.card>small{display:block}
.mark{width:12px;height:12px;margin-right:6px;vertical-align:-1px;fill:currentColor;flex:none}
.state{white-space:nowrap;font-weight:600}
.good{color:var(--good)}.warning{color:var(--warning)}.bad{color:var(--bad)}.quiet{color:var(--quiet)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.cards{display:grid;gap:12px;grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr))}
.reasons{list-style:none;padding:0;margin-top:12px;display:grid;gap:8px}
.path{list-style:none;padding:0;margin-top:20px;display:flex}
.hop{flex:1;min-width:0;position:relative;text-align:center;padding:0 6px}
.hop b{display:block;margin-top:8px;color:var(--ink)}
.hop small{display:block;overflow-wrap:anywhere}
.hop svg{display:block;width:20px;height:20px;margin:0 auto;fill:currentColor}
.hop+.hop::before{content:"";position:absolute;top:9px;right:calc(50% + 18px);width:calc(100% - 36px);border-top:2px solid currentColor}
dl{display:grid;grid-template-columns:auto 1fr;gap:2px 14px;margin-top:8px;font-size:14px}
dt{color:var(--soft)}
dd{text-align:right;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.top{display:flex;justify-content:space-between;gap:12px;align-items:baseline}
.spark{display:block;width:100%;height:40px;margin-top:10px;overflow:visible}
.rule{stroke:var(--line);fill:none}.area{fill:var(--fill)}.line{stroke:var(--stroke);stroke-width:1.5;fill:none}.second{stroke:var(--second)}
.spark path{vector-effect:non-scaling-stroke}
.key{display:flex;justify-content:space-between;gap:12px;font-size:13px;color:var(--soft);font-variant-numeric:tabular-nums}
.events{list-style:none}.events.card{padding:6px 16px}
.events li{display:grid;grid-template-columns:92px 1fr;gap:0 12px;padding:6px 0;border-top:1px solid var(--line)}
.events li:first-child{border:0}
.events time{color:var(--soft);font-size:13px;font-variant-numeric:tabular-nums}
#stale{display:none;position:sticky;top:0;background:var(--bad);color:#fff;text-align:center;padding:6px;font-weight:600}
.stale #stale{display:block}.stale main{opacity:.55}
@media(max-width:560px){.path{flex-direction:column;gap:14px}.hop{display:grid;grid-template-columns:20px 1fr;gap:0 12px;text-align:left}.hop svg{grid-row:1/3}.hop b{margin:0}.hop small{grid-column:2}
.hop+.hop::before{top:-14px;left:15px;right:auto;width:0;height:12px;border-top:0;border-left:2px solid currentColor}.events li{grid-template-columns:1fr}}
`

/** Fetches the page anew and puts its content in place of the old, while somebody looks. */
export const script = `
setInterval(async () => {
  if (document.hidden) return
  try {
    const answer = await fetch(location.href, { cache: 'no-store', signal: AbortSignal.timeout(4000) })
    if (!answer.ok) throw new Error(answer.status)
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html')
    document.querySelector('main').replaceWith(fresh.querySelector('main'))
    document.title = fresh.title
    document.body.classList.remove('stale')
  } catch {
    document.body.classList.add('stale')
  }
}, 2000)
`

const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

/** Nothing from anywhere, but these two and the page's own address. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src ${hashOf(style)}`,
  `script-src ${hashOf(script)}`,
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')
