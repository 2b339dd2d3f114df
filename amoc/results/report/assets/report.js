/* Draws a report's charts. `amocReport.draw(data)` takes the data that `amoc.results.report.page` wrote into the page:

   times     seconds since the first user could start, one for each row
   ends_s    the end of the run, on that scale
   began_at  that scale's zero, in seconds since 1970; null if unknown
   bands     {kind, from_s, to_s, label}: shaded periods
   annotations  {t, number, text, serious}: events, drawn as numbered lines
   row_s     the length of the longest row
   charts    by key: {title, unit, family, least_top, limits: [{label, value}],
             lines: [{label, colour, style, values}]}
   spectra   by key: {title, fractions, lines: [{label, colour, values}]}

   Charts in the window are drawn at once, the others when they come near or when the browser is idle, and
   again when their width or the colours change. The page of a running run has the same data and adds to it: `update`
   takes the messages of `amoc.results.report.live`. While its version is negative, most charts have no rows yet.

   In a long run, a row covers many seconds. If a server is available, it supplies the single seconds
   of the part that the reader zooms into: `page.loader = {most_s, load}`, with a function that returns
   {times, row_s, columns}, where columns are by chart and label. */
"use strict";
const amocReport = (() => {
  const root = document.documentElement;
  const HEIGHT = 220, PRINT_HEIGHT = 150, PRINT_WIDTH = 324, NEAR = "150px";
  const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];
  const BYTE_STEPS = Array.from({ length: 50 }, (_, power) => 2 ** power);
  const LOG_STEPS = [1, 2, 5];
  const LEAST_S = 1e-6;
  const SAID_EVERY = 10;
  const ASK_MS = 200;
  const LEGEND = { markers: { width: 0, fill: (u, index) => u.series[index].stroke() } };

  const two = (number) => String(number).padStart(2, "0");

  /* Not by Intl: a page that uses it for the first time loads its tables, which takes as long as to draw three charts. */
  function digits(value, most) {
    const rounded = Number(value.toPrecision(most));
    return Math.abs(rounded) < 1e-6 ? String(rounded) : grouped(rounded);
  }

  function grouped(number) {
    const [whole, fraction] = String(number).split(".");
    return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (fraction ? "." + fraction : "");
  }

  function duration(value) {
    if (value === 0) return "0";
    if (value < 0.9995e-3) return digits(value * 1e6, 3) + " µs";
    if (value < 0.9995) return digits(value * 1e3, 3) + " ms";
    if (value < 100) return digits(value, 3) + " s";
    const minutes = Math.floor(Math.round(value) / 60);
    return minutes + "m" + two(Math.round(value) % 60) + "s";
  }

  function bytes(value) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = 0;
    while (value >= 1024 && power < units.length - 1) { value /= 1024; power++; }
    return digits(value, 3) + " " + units[power];
  }

  function shown(value, unit) {
    if (value == null) return "–";
    if (unit === "s") return duration(value);
    if (unit === "%") return digits(value * 100, 3) + " %";
    if (unit === "B") return bytes(value);
    return (Math.abs(value) >= 1000 ? grouped(Math.round(value)) : digits(value, 4)) + unit;
  }

  function moment(t) {
    const whole = Math.round(Math.abs(t));
    const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    const text = hours ? hours + ":" + two(minutes) + ":" + two(whole % 60) : minutes + ":" + two(whole % 60);
    return (t < 0 ? "-" : "") + text;
  }

  function percent(fraction) {
    const digitsAfter = Math.max(0, Math.round(-Math.log10(1 - fraction)) - 2);
    return (fraction * 100).toFixed(Math.min(digitsAfter, 4)) + " %";
  }

  /* Colours come from the style sheet, so that they follow its theme. */
  function colours() {
    const style = getComputedStyle(root);
    const read = (name) => style.getPropertyValue(name).trim();
    return {
      lines: [0, 1, 2, 3, 4, 5, 6, 7, 8].map((number) => read("--c" + number)),
      text: read("--muted"), grid: read("--grid"), mark: read("--mark"), serious: read("--bad"), limit: read("--doubt"),
      panel: read("--panel"), warmup: read("--warmup"), paused: read("--paused"), late: read("--late"),
    };
  }

  const GAP = 6; // between a vertical axis and its labels
  const font = (size) => size + "px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

  /* The range of values: from zero; on a logarithmic axis from 1, 2 or 5 times a power of ten to another.
     A logarithmic range is extended to the limits if that takes little space from the lines. */
  function range(charts, logarithmic) {
    let low = Infinity, high = 0;
    for (const chart of charts) {
      high = Math.max(high, chart.least_top || 0);
      if (logarithmic) for (const limit of chart.limits || []) high = Math.max(high, limit.value);
      for (const line of chart.lines) {
        for (const value of line.values) {
          if (value == null) continue;
          high = Math.max(high, value);
          if (value > 0) low = Math.min(low, value);
        }
      }
    }
    if (!logarithmic || high <= 0) return [0, high > 0 ? high * 1.08 : 1];
    low = Math.max(low, LEAST_S);
    low = rounded(low * 0.9, Math.floor);
    return [low, Math.max(rounded(high * 1.05, Math.ceil), low * 10)];
  }

  function rounded(value, direction) {
    const decade = 10 ** Math.floor(Math.log10(value) + 1e-9);
    const factors = direction === Math.floor ? [5, 2, 1] : [1, 2, 5, 10];
    const fits = (factor) => direction === Math.floor ? factor * decade <= value * (1 + 1e-9) : factor * decade >= value * (1 - 1e-9);
    return decade * (factors.find(fits) || 1);
  }

  function logSplits(low, high) {
    const every = Math.log10(high / low) > 3 ? [1] : LOG_STEPS;
    const splits = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const factor of every) {
        const value = factor * 10 ** power;
        if (value >= low * 0.999 && value <= high * 1.001) splits.push(value);
      }
    }
    return splits;
  }

  /* Rows with unknown neighbours would be lines without length, so they are drawn as points. */
  function alone(u, index) {
    const values = u.data[index], found = [];
    for (let at = 0; at < values.length; at++) {
      if (values[at] != null && values[at - 1] == null && values[at + 1] == null) found.push(at);
    }
    return found;
  }

  const highest = (values) => values.reduce((most, value) => value == null || value < most ? most : value, null);

  function seriesOf(line, palette, unit) {
    const colour = palette.lines[line.colour];
    const series = {
      label: line.label, stroke: colour, width: 1.75, spanGaps: false,
      value: (u, value, index, at) => shown(at == null ? highest(u.data[index]) : value, unit),
      points: { show: true, size: 5, fill: colour, filter: alone },
    };
    if (line.style === "area") series.fill = colour + "2b";
    if (line.style === "dash") series.dash = [6, 4];
    if (line.style === "dots") { series.dash = [2, 3]; series.width = 1.25; }
    if (line.style === "step") { series.paths = uPlot.paths.stepped({ align: -1 }); series.dash = [8, 4]; }
    return series;
  }

  /* The width of a vertical axis: most have the same, so that charts are aligned. */
  function widthOf(u, labels) {
    u.ctx.save();
    u.ctx.font = font(11);
    const widest = Math.max(0, ...(labels || []).map((one) => u.ctx.measureText(one).width));
    u.ctx.restore();
    return Math.max(58, Math.ceil(widest) + GAP + 2);
  }

  function axes(palette, unit, logarithmic, x) {
    const common = { stroke: palette.text, font: font(11), ticks: { show: false }, grid: { stroke: palette.grid, width: 1 } };
    const y = {
      ...common, size: widthOf, gap: GAP, space: 34,
      values: (u, splits) => splits.map((value) => value == null ? "" : shown(value, unit)),
    };
    if (unit === "B") y.incrs = BYTE_STEPS;
    if (logarithmic) {
      y.splits = (u, axis, low, high) => logSplits(low, high);
      y.filter = (u, splits) => splits;
    }
    return [{ ...common, size: 28, gap: 4, ...x }, y];
  }

  /* Whether the browser goes to the place in the address, rather than restoring a scroll position. */
  const arrived = () => performance.getEntriesByType("navigation")[0]?.type === "navigate";
  const named = () => document.getElementById(location.hash.slice(1));

  /* The page of a running run is hidden when it arrives, so that it is laid out only once, from here. The part
     below the section named in the address is laid out when it becomes visible, or when the returned
     function is called: nothing above is left out, so nothing moves then. */
  function laterBelow() {
    const hidden = document.querySelector(".unready");
    if (!hidden) return () => {};
    const sections = [...document.querySelectorAll("section")];
    const below = arrived() ? sections.slice(1 + sections.findIndex((one) => one.contains(named()))) : [];
    for (const one of below) one.classList.add("later");
    hidden.classList.remove("unready");
    return () => { for (const one of below) one.classList.remove("later"); };
  }

  function draw(data) {
    const figures = [];
    const state = {
      drawn: new Map(), near: new Set(), zoom: null, detail: null, log: true, print: false, palette: colours(), busy: false, times: [], limits: new Map(),
    };
    const idly = window.requestIdleCallback || ((call) => setTimeout(call, 50));
    let firstDrawn;
    const drawn = new Promise((resolve) => { firstDrawn = resolve; });
    const page = { data, state, drawn, loader: null, setZoom, show: (figure) => show([figure]), figures, update };

    /* The run's beginning and end belong to the axis, even without rows there. */
    function setTimes() {
      const times = [0, ...(state.detail || data).times, data.ends_s];
      if (data.times[0] < 0) times[0] = data.times[0];
      state.times = times;
      state.limits.clear();
    }
    setTimes();

    const whole = () => [state.times[0], data.ends_s];

    /* The values of each line of a chart, for `state.times`. */
    function valuesOf(key) {
      const { lines } = data.charts[key];
      if (!state.detail) return lines.map((line) => line.values);
      const { times, columns } = state.detail;
      return lines.map(({ label }) => columns[key]?.[label] || times.map(() => null));
    }

    /* The range of a chart: that of its whole family, and of all data ever loaded for it. */
    function limitsOf(key) {
      const { family, unit } = data.charts[key], name = `${family ? "family" : "chart"} ${family || key}`;
      if (!state.limits.has(name)) {
        const keys = family ? Object.keys(data.charts).filter((one) => data.charts[one].family === family) : [key];
        const charts = keys.map((one) => {
          const chart = data.charts[one];
          return state.detail ? { ...chart, lines: [...chart.lines, ...valuesOf(one).map((values) => ({ values }))] } : chart;
        });
        state.limits.set(name, range(charts, unit === "s" && state.log));
      }
      return state.limits.get(name);
    }

    function setZoom(zoom, from) {
      state.zoom = zoom;
      queueMicrotask(load); // not within uPlot's own code
      state.busy = true;
      for (const one of state.drawn.values()) {
        if (one.ofTime && one.plot !== from) setRange(one.plot);
      }
      state.busy = false;
      for (const button of document.querySelectorAll("button.reset")) button.hidden = !zoom;
    }

    function setRange(plot) {
      const [min, max] = state.zoom || whole();
      plot.setScale("x", { min, max });
    }

    /* Bands lie below the lines, annotations above them. */
    function drawBands(u) {
      const { left, top, width, height } = u.bbox;
      u.ctx.save();
      u.ctx.beginPath();
      u.ctx.rect(left, top, width, height);
      u.ctx.clip();
      for (const band of data.bands) {
        const from = u.valToPos(band.from_s, "x", true), to = u.valToPos(band.to_s, "x", true);
        u.ctx.fillStyle = state.palette[band.kind];
        u.ctx.fillRect(from, top, Math.max(1, to - from), height);
        if (to - from > 60 * uPlot.pxRatio) {
          u.ctx.fillStyle = state.palette.text;
          u.ctx.font = font(10 * uPlot.pxRatio);
          u.ctx.textAlign = "left";
          u.ctx.textBaseline = "top";
          u.ctx.fillText(band.label, Math.max(from, left) + 4 * uPlot.pxRatio, top + 3 * uPlot.pxRatio);
        }
      }
      u.ctx.restore();
    }

    /* Limits that lie in the range. Of two that are near each other one is named left, one right. */
    function drawLimits(u, limits) {
      const { left, top, width } = u.bbox, ratio = uPlot.pxRatio, ctx = u.ctx;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = state.palette.limit;
      ctx.lineWidth = ratio;
      ctx.font = font(10 * ratio);
      ctx.textBaseline = "bottom";
      limits.forEach(({ label, value }, number) => {
        if (value > u.scales.y.max || value < u.scales.y.min) return;
        const y = Math.round(u.valToPos(value, "y", true)) + 0.5;
        ctx.setLineDash([5 * ratio, 4 * ratio]);
        ctx.beginPath();
        ctx.moveTo(left, y);
        ctx.lineTo(left + width, y);
        ctx.stroke();
        const atRight = number % 2 === 0;
        ctx.textAlign = atRight ? "right" : "left";
        if (y - 11 * ratio > top) ctx.fillText(label, atRight ? left + width - 3 * ratio : left + 3 * ratio, y - ratio);
      });
      ctx.restore();
    }

    function drawMarks(u) {
      const { left, top, width, height } = u.bbox, ratio = uPlot.pxRatio, ctx = u.ctx;
      let free = -Infinity;
      ctx.save();
      for (const mark of data.annotations) {
        const x = Math.round(u.valToPos(mark.t, "x", true)) + 0.5;
        if (x < left || x > left + width) continue;
        const colour = mark.serious ? state.palette.serious : state.palette.mark;
        ctx.strokeStyle = colour;
        ctx.lineWidth = ratio;
        ctx.setLineDash([3 * ratio, 3 * ratio]);
        ctx.beginPath();
        ctx.moveTo(x, top);
        ctx.lineTo(x, top + height);
        ctx.stroke();
        const wide = (8 + 6 * String(mark.number).length) * ratio;
        if (x - wide / 2 < free) continue;
        free = x + wide / 2 + ratio;
        ctx.setLineDash([]);
        ctx.fillStyle = colour;
        ctx.beginPath();
        ctx.roundRect(x - wide / 2, top - 15 * ratio, wide, 14 * ratio, 3 * ratio);
        ctx.fill();
        ctx.fillStyle = state.palette.panel;
        ctx.font = font(10 * ratio);
        ctx.textAlign = "center";
        ctx.textBaseline = "middle";
        ctx.fillText(String(mark.number), x, top - 7.5 * ratio);
      }
      ctx.restore();
    }

    /* Describe what is near the cursor, only in the chart under the pointer. */
    function showTip(u, tip) {
      const { left } = u.cursor;
      if (!(left >= 0 && u.over.matches(":hover"))) {
        tip.hidden = true;  // measuring would force a layout
        return;
      }
      const near = data.annotations.filter((mark) => Math.abs(u.valToPos(mark.t, "x") - left) < 6);
      const t = u.posToVal(left, "x");
      const inside = data.bands.filter((band) => band.from_s <= t && t <= band.to_s);
      const said = [...near.map((mark) => mark.number + "  " + mark.text), ...inside.map((band) => band.label)];
      tip.hidden = !said.length;
      tip.textContent = said.slice(0, 6).join("\n");
      tip.classList.toggle("left", left > u.over.clientWidth / 2);
    }

    /* The legend's first row; without a cursor the others have the maximum of each line. */
    function timeLabel(u, value, series, at) {
      if (at == null) return state.detail ? "maximum of what is shown:" : "maximum of the whole run:";
      if (data.began_at == null) return moment(value);
      return moment(value) + " (" + new Date((data.began_at + value) * 1000).toISOString().slice(11, 19) + " UTC)";
    }

    const isLog = (chart) => chart.unit === "s" && state.log;

    function timeData(key) {
      const logarithmic = isLog(data.charts[key]);
      const values = valuesOf(key).map((some) => {
        const kept = logarithmic ? some.map((value) => value == null ? null : Math.max(value, LEAST_S)) : some;
        return [null, ...kept, null];
      });
      return [state.times, ...values];
    }

    function timeChart(figure, key, size) {
      const chart = data.charts[key], logarithmic = isLog(chart);
      const one = { limits: limitsOf(key), ofTime: true, stale: false };
      const tip = document.createElement("div");
      tip.className = "tip";
      const options = {
        ...size,
        padding: [data.annotations.length || data.version ? 18 : 8, 18, 0, 0],
        legend: LEGEND,
        scales: {
          x: { time: false, ...(state.zoom ? { min: state.zoom[0], max: state.zoom[1] } : {}) },
          y: { range: () => one.limits, distr: logarithmic ? 3 : 1 },
        },
        series: [{ label: "at", value: timeLabel }, ...chart.lines.map((line) => seriesOf(line, state.palette, chart.unit))],
        axes: axes(state.palette, chart.unit, logarithmic, { space: 64, incrs: STEPS_S, values: (u, splits) => splits.map(moment) }),
        cursor: {
          sync: { key: "time", setSeries: false, filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
          drag: { x: true, y: false, dist: 5 }, focus: { prox: 24 }, points: { size: 6 },
        },
        focus: { alpha: 0.35 },
        hooks: {
          init: [(u) => { tip.hidden = true; u.over.append(tip); u.over.addEventListener("dblclick", () => setZoom(null, null)); }],
          ready: [(u) => u.setLegend({ idx: null }, false)],
          drawClear: [drawBands],
          draw: [(u) => drawLimits(u, chart.limits), drawMarks],
          setCursor: [(u) => showTip(u, tip)],
          setScale: [(u, key) => {
            if (key !== "x" || state.busy || !state.drawn.has(figure)) return;
            const { min, max } = u.scales.x;
            setZoom(min <= whole()[0] && max >= whole()[1] ? null : [min, max], u);
          }],
        },
      };
      one.plot = new uPlot(options, timeData(key), figure.querySelector(".plot"));
      return one;
    }

    const rarity = (fraction) => -Math.log10(1 - fraction);
    const spectrumData = (chart) => [chart.fractions.map(rarity), ...chart.lines.map((line) => line.values)];
    const rangesOf = (chart) => ({ limits: range([chart], true), rarest: Math.max(2, ...chart.fractions.map(rarity)) });

    function spectrumChart(figure, chart, size) {
      const one = { ...rangesOf(chart), ofTime: false, stale: false };
      const labels = () => [0.5, 0.9, 0.99, 0.999, 0.9999].filter((fraction) => rarity(fraction) <= one.rarest + 0.01);
      const options = {
        ...size,
        padding: [8, 34, 0, 0],
        legend: LEGEND,
        scales: { x: { time: false, range: () => [rarity(0.5), one.rarest] }, y: { range: () => one.limits, distr: 3 } },
        series: [
          { label: "percentile", value: (u, value, series, at) => at == null ? "maximum:" : percent(1 - 10 ** -value) },
          ...chart.lines.map((line) => seriesOf(line, state.palette, "s")),
        ],
        axes: axes(state.palette, "s", true, {
          splits: () => labels().map(rarity),
          values: () => labels().map((fraction) => String(+(fraction * 100).toFixed(2)) + " %"),
        }),
        hooks: { ready: [(u) => u.setLegend({ idx: null }, false)] },
        cursor: { sync: { key: "spectrum" }, drag: { x: false, y: false, setScale: false }, points: { size: 6 } },
      };
      one.plot = new uPlot(options, spectrumData(chart), figure.querySelector(".plot"));
      return one;
    }

    /* The size of a figure's chart; null if there is no space for it. */
    function size(figure) {
      if (state.print) return { width: PRINT_WIDTH, height: PRINT_HEIGHT };
      const width = figure.querySelector(".plot").clientWidth;
      return width ? { width: Math.max(200, width), height: HEIGHT } : null;
    }

    /* Measure all places before drawing anything, because drawing forces a new layout. */
    function show(some) {
      const missing = some.filter((figure) => !state.drawn.has(figure) && figure.querySelector(".plot") && chartOf(figure)?.lines[0].values.length);
      const sizes = missing.map(size);
      missing.forEach((figure, at) => { if (sizes[at]) drawIn(figure, sizes[at]); });
    }

    function drawIn(figure, size) {
      const found = chartOf(figure);
      const one = figure.dataset.chart ? timeChart(figure, figure.dataset.chart, size) : spectrumChart(figure, found, size);
      one.plot.ctx.canvas.setAttribute("role", "img");
      one.plot.ctx.canvas.setAttribute("aria-label", found.title + (one.ofTime ? ", over time; its figures are in the table that follows" : ""));
      state.drawn.set(figure, one);
      widths.observe(figure);
      if (data.version) idly(() => say(figure, found));
    }

    function chartOf(figure) {
      const { chart, spectrum } = figure.dataset;
      return chart ? data.charts[chart] : data.spectra[spectrum];
    }

    /* Describe a chart in words for those who cannot see it, if the page came without. */
    function say(figure, chart) {
      const body = figure.querySelector("table.words tbody");
      if (!body) return;
      body.replaceChildren(...chart.lines.flatMap((line) => {
        let count = 0, sum = 0, low = Infinity, high = -Infinity, at = 0;
        line.values.forEach((value, row) => {
          if (value == null) return;
          count++;
          sum += value;
          low = Math.min(low, value);
          if (value > high) { high = value; at = row; }
        });
        if (!count) return [];
        const row = document.createElement("tr"), head = document.createElement("th");
        head.scope = "row";
        head.textContent = line.label;
        const cells = [low, sum / count, high].map((value) => shown(value, chart.unit));
        row.append(head, ...[...cells, moment(data.times[at])].map((text) => {
          const cell = document.createElement("td");
          cell.textContent = text;
          return cell;
        }));
        return [row];
      }));
    }

    /* Redraw a chart with what was added to it. */
    function refresh(figure, one) {
      const chart = chartOf(figure), key = figure.dataset.chart;
      if (!chart) return;
      one.stale = false;
      state.busy = true;
      if (one.ofTime) {
        one.limits = limitsOf(key);
        one.plot.setData(timeData(key), false);
        setRange(one.plot);
      } else {
        Object.assign(one, rangesOf(chart));
        one.plot.setData(spectrumData(chart));
      }
      // Not for all charts at once, which would take long.
      if ((data.version + figures.indexOf(figure)) % SAID_EVERY === 0) say(figure, chart);
      if (one.plot.cursor.idx == null) one.plot.setLegend({ idx: null }, false);
      state.busy = false;
    }

    /* Redraw the charts near the window; the others are redrawn when they come near. */
    function refreshAll() {
      setTimes();
      for (const [figure, one] of state.drawn) {
        if (state.near.has(figure)) refresh(figure, one);
        else one.stale = true;
      }
    }

    /* Load single seconds after the reader has zoomed in on longer rows. */

    let asked = null;

    async function load() {
      asked?.abort();
      asked = null;
      const { zoom } = state, { loader } = page;
      if (!zoom || !loader || !(data.row_s >= 2)) { showGrain(""); setDetail(null); return; }
      if (zoom[1] - zoom[0] > loader.most_s) {
        showGrain(`zoom into ${loader.most_s / 60} minutes or less for more detail`);
        setDetail(null);
        return;
      }
      const mine = asked = new AbortController();
      showGrain("loading more detail…");
      try {
        await new Promise((resolve) => setTimeout(resolve, ASK_MS));
        if (mine.signal.aborted) return;
        const detail = await loader.load(zoom[0], zoom[1], mine.signal);
        if (mine.signal.aborted) return;
        setDetail(detail.times.length ? detail : null);
        showGrain(detail.row_s < 2 ? "single seconds" : `each point covers up to ${duration(detail.row_s)}`);
      } catch (error) {
        if (!mine.signal.aborted) showGrain(`no more detail: ${error.message}`);
      }
    }

    function setDetail(detail) {
      if (detail === state.detail) return;
      state.detail = detail;
      refreshAll();
    }

    function showGrain(text) {
      for (const place of document.querySelectorAll(".grain")) place.textContent = text;
    }

    /* Apply the changes since the page was made or last updated: all charts, or new rows. */
    function update(change) {
      const replaced = change.data !== undefined, first = data.version < 0;
      if (replaced) {
        Object.assign(data, change.data);
      } else {
        data.times.splice(change.from, Infinity, ...change.times);
        for (const [key, columns] of Object.entries(change.columns)) {
          data.charts[key].lines.forEach((line, at) => line.values.splice(change.from, Infinity, ...columns[at]));
        }
        for (const key of ["began_at", "ends_s", "bands", "annotations", "row_s", "spectra", "version"]) data[key] = change[key];
      }
      collect();
      setTimes();
      if (replaced) for (const figure of [...state.drawn.keys()]) hide(figure);
      if (!replaced) refreshAll();
      show([...state.near]);
      if (replaced || first) idly(() => drawNext([...figures]));
    }

    /* Find the page's figures; new ones are drawn when they come near. */
    function collect() {
      for (const figure of document.querySelectorAll("figure[data-chart], figure[data-spectrum]")) {
        if (figures.includes(figure)) continue;
        figures.push(figure);
        near.observe(figure);
      }
      for (const figure of figures.filter((one) => !one.isConnected)) {
        hide(figure);
        near.unobserve(figure);
        state.near.delete(figure);
        figures.splice(figures.indexOf(figure), 1);
      }
    }

    function hide(figure) {
      const one = state.drawn.get(figure);
      if (!one) return;
      widths.unobserve(figure);
      one.plot.destroy();
      state.drawn.delete(figure);
    }

    function again(which) {
      state.palette = colours();
      state.limits.clear();
      for (const figure of which) hide(figure);
      show(which);
    }

    function isSeen(element) { // at least a pixel of it
      const { top, bottom } = element.getBoundingClientRect();
      return bottom >= 1 && top <= innerHeight - 1;
    }
    const widths = new ResizeObserver((entries) => {
      if (state.print) return;
      for (const { target } of entries) {
        const one = state.drawn.get(target);
        const wanted = size(target);
        if (one && wanted && one.plot.width !== wanted.width) one.plot.setSize(wanted);
      }
    });
    const near = new IntersectionObserver((entries) => {
      const seen = [];
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) { state.near.delete(target); continue; }
        state.near.add(target);
        const one = state.drawn.get(target);
        if (one?.stale) refresh(target, one);
        if (isSeen(target)) seen.push(target);
      }
      show(begun ? [...state.near] : seen);
      if (seen.length) begin();
    }, { rootMargin: NEAR });

    /* Charts that will be in the window are drawn first, if that is known before the page is painted, then
       those near it. Distant ones are drawn when the browser is idle, so that a capture of the whole page
       shows them although they never come near the window. */
    let begun = false;
    const layOutAll = laterBelow();
    function begin() {
      if (begun) return;
      begun = true;
      queueMicrotask(() => { // after uPlot's own
        performance.mark("amoc-drawn", { detail: [...state.drawn.keys()].filter(isSeen).length });
        firstDrawn();
      });
      requestAnimationFrame(() => setTimeout(() => { layOutAll(); show([...state.near]); }));
      if (!(data.version < 0)) idly(() => drawNext([...figures]));
    }
    function drawNext(rest) {
      const figure = rest.shift();
      if (!figure) {
        root.dataset.drawn = "all";
        performance.mark("amoc-drawn-all");
        return;
      }
      show([figure]);
      idly(() => drawNext(rest));
    }
    function drawFirst() {
      if (!arrived()) return;
      if (!scrollY) named()?.scrollIntoView(); // as the browser will do
      const open = figures.filter((one) => !one.closest(".later, details:not([open])") && isSeen(one));
      show(open.filter((one) => one.getBoundingClientRect().bottom <= innerHeight));
      show(open.filter(isSeen)); // legends of those may have moved others out of the window
      const below = document.querySelector(".later");
      if (state.drawn.size && !(below && isSeen(below))) begin();
    }
    collect();
    drawFirst();
    addEventListener("load", () => idly(begin)); // for when no chart is in the window

    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => again([...state.drawn.keys()]));

    document.addEventListener("click", ({ target }) => {
      if (target.closest("button.reset")) setZoom(null, null);
      const button = target.closest("button.scale");
      if (!button) return;
      state.log = button.dataset.scale === "log";
      for (const one of document.querySelectorAll("button.scale")) one.setAttribute("aria-pressed", String(one === button));
      again([...state.drawn.keys()]);
    });

    /* Paper is white and narrow, and nothing can be opened on it. */
    const opened = [];
    addEventListener("beforeprint", () => {
      state.print = true;
      root.dataset.theme = "light";
      for (const one of document.querySelectorAll("details:not([open])")) { one.open = true; opened.push(one); }
      for (const figure of figures) hide(figure);
      again(figures);
    });
    addEventListener("afterprint", () => {
      state.print = false;
      delete root.dataset.theme;
      for (const one of opened.splice(0)) one.open = false;
      const drawn = [...state.drawn.keys()];
      again(drawn);
    });
    return page;
  }

  return { draw, duration, moment, range, shown };
})();

if (document.getElementById("data")) {
  amocReport.page = amocReport.draw(JSON.parse(document.getElementById("data").textContent));
}
