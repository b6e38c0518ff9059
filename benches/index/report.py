"""The table and the plots of bench.py."""
from common import front, interpolated, median

# Overlap and the largest share of Seismic's time, by set of queries, for k = 10.
SEARCH_BARS = {"expanded": {.90: 1 / 3, .92: None, .95: 1 / 4, .97: 1 / 4, .99: 1 / 6},
               "inference-free": {.90: None, .92: 1 / 6, .95: 1 / 6, .97: None, .99: None}}
LARGE_K_BARS = {"100": 1 / 5, "1000": 1 / 3}
EXACT_BARS = {"expanded": (.95, 1.0), "inference-free": (.92, 1 / 2)}
BYTES = 300e6
COUNTED = ("forward", "documents", "impact", "clusters", "lexicon", "calibration")


def row(what, ours=None, peer=None, bar=None, met=None, unit="us", note=""):
    """A line. The ratio is ours to theirs; without a verdict of its own it is met when under the bar."""
    ratio = ours / peer if ours is not None and peer else None
    if met is None and bar is not None and ratio is not None:
        met = ratio <= bar
    return {"what": what, "ours": ours, "peer": peer, "ratio": ratio, "bar": bar, "met": met, "unit": unit, "note": note}


def of(curves, prefix):
    return {name: points for name, points in curves.items() if name.startswith(prefix)}


def peer_at(curves, overlap):
    """Seismic's time at an overlap: the better of its builds; none where neither reaches it."""
    times = [interpolated(points, overlap) for points in of(curves, "peer ").values()]
    return min((t for t in times if t is not None), default=None)


def peer_highest(curves):
    return max(p["overlap"] for points in of(curves, "peer ").values() for p in points)


def chosen(points, overlap):
    """The setting that was cheapest for an overlap on the queries that settings are chosen on."""
    tuned = [p for p in points if p["tuned"]["overlap"] >= overlap]
    return min(tuned, key=lambda p: p["tuned"]["us"], default=None)


def ours_at(curves, overlap, seismic=False, suffix=""):
    """The setting chosen for an overlap, of all our methods or of `seismic` alone."""
    found = []
    for name, points in curves.items():
        if name in ("exact", "auto") or name.startswith("peer ") or name.startswith("seismic") != seismic:
            continue
        if name.endswith(" avx2") != (suffix == " avx2"):
            continue
        best = chosen(points, overlap)
        found += [best] if best else []
    return min(found, key=lambda p: p["tuned"]["us"], default=None)


def compared(what, best, curves, bar, overlap):
    """A chosen setting beside Seismic at the overlap, or at the setting's own where that is lower."""
    if best is None:
        return row(what, None, peer_at(curves, overlap), bar, False if bar else None, note=f"no setting of ours reaches {overlap}")
    note = f"{best['point']} at {best['overlap']:.4f}"
    note += ", BELOW the overlap: Seismic is read off there" if best["overlap"] < overlap else ""
    peer = peer_at(curves, min(overlap, best["overlap"]))
    if peer is None:
        return row(what, best["us"], None, bar, True if bar else None, note=note + "; Seismic does not reach it")
    return row(what, best["us"], peer, bar, note=note)


def search_rows(curves):
    rows = []
    for query_set, bars in SEARCH_BARS.items():
        at_k = curves[query_set].get("10", {})
        for overlap, bar in bars.items() if at_k else []:
            best = ours_at(at_k, overlap)
            what = f"{query_set}, k 10, overlap {overlap:.2f}"
            line = compared(what, best, at_k, bar, overlap)
            if (query_set, overlap) == ("inference-free", .99):
                most = max(p["overlap"] for name, points in at_k.items() if not name.startswith("peer ")
                           and name not in ("exact", "auto") for p in points)
                line["met"] = most >= overlap
                line["note"] = f"to be reached: the most that a setting had is {most:.4f}; " + line["note"]
            rows.append(line)
            if best and bar:
                rows.append(row(f"{query_set}, k 10, overlap {overlap:.2f}: p99 to median", best["p99_us"],
                                best["p50_us"], 3.0, note="peer column: our median"))
        if at_k:
            best = ours_at(at_k, .95, suffix=" avx2")
            note = f"{query_set}, k 10, overlap .95, AVX2 only"
            rows.append(compared(note, best, at_k, 1 / 2, .95))
        for point in at_k.get("auto", []):
            wanted = float(point["point"].split("=")[1])
            rows.append(row(f"{query_set}, k 10, planned for {wanted:.2f}", point["us"], peer_at(at_k, wanted),
                            note=f"{point['method']}, found {point['overlap']:.4f}"))
    for query_set in curves:
        for k, bar in LARGE_K_BARS.items():
            at_k = curves[query_set].get(k)
            if at_k:
                overlap = min(.95, int(peer_highest(at_k) * 1000) / 1000)
                rows.append(compared(f"{query_set}, k {k}, overlap {overlap:.3f}", ours_at(at_k, overlap),
                                     at_k, bar if query_set == "expanded" else None, overlap))
    return rows


def exact_rows(results):
    rows = []
    for query_set, (overlap, bar) in EXACT_BARS.items():
        at_k = results["curves"][query_set].get("10", {})
        if at_k.get("exact"):
            rows.append(row(f"{query_set}, k 10, exact, beside Seismic at {overlap:.2f}", at_k["exact"][0]["us"],
                            peer_at(at_k, overlap), bar))
        bmp = results["bmp"].get(query_set)
        if bmp:
            rows.append(row(f"{query_set}, k 10, exact, beside BMP's exact search", bmp["us"], bmp["peer_us"],
                            note=f"the peer's column: BMP, overlap {bmp['peer_overlap']:.4f} with exact (32 levels of a query)"))
        check = results["exact_check"].get(query_set)
        if check:
            rows.append(row(f"{query_set}, exact as a scan finds it (50 queries)", check["exact"]["us"],
                            check["scan"]["us"], met=check["exact"]["overlap"] > 1 - 1e-9,
                            note="peer column: our scan of every document"))
    return rows


def build_rows(results):
    rows, seconds, sizes = [], results["build_s"], results["bytes"]
    peer = next((f"peer {n}" for n in (250, 1000) if f"peer {n}" in seconds), None)
    for name in seconds:
        if name.startswith("peer ") or name.endswith(" thread"):
            continue
        bar = {"impact": 1 / 5, "clusters": 1 / 2}.get(name)
        rows.append(row(f"build {name}, beside Seismic's {peer}", median(seconds[name]), median(seconds[peer]), bar,
                        unit="s", note="runs " + ", ".join(f"{s:.1f}" for s in seconds[name])))
        alone = seconds.get(f"{name}, 1 thread")
        if alone:
            rows.append(row(f"build {name}: all cores beside one thread", median(seconds[name]), median(alone),
                            unit="s", note="peer column: ours with one thread"))
    for name, took in results["measuring_s"].items():
        rows.append(row(f"measuring an index of {name} itself, beside Seismic's {peer}", took, median(seconds[peer]),
                        unit="s", note="Seismic's column: its build"))
    theirs = min(size["total"] for name, size in sizes.items() if name.startswith("peer "))
    for name, size in sizes.items():
        if name.startswith("peer "):
            continue
        if name.startswith("seismic"):
            same = sizes.get(f"peer {name.split('-')[1]}")
            if same:
                rows.append(row(f"summaries of {name}, MB", size["summaries"] / 1e6, same["summaries"] / 1e6, 1.0, unit="MB"))
            continue
        counted = sum(size.get(kind, 0) for kind in COUNTED)
        rows.append(row(f"bytes of {name}: vectors, lists, tables, MB", counted / 1e6, theirs / 1e6, unit="MB",
                        met=counted <= BYTES, note="at most 300 MB"))
    return rows


def seismic_rows(curves):
    rows = []
    for query_set in curves:
        at_k = curves[query_set].get("10", {})
        if any(name.startswith("seismic") for name in at_k):
            for overlap in (.90, .92, .95, .97, .98, .99):
                best = ours_at(at_k, overlap, seismic=True)
                if best or peer_at(at_k, overlap):
                    rows.append(compared(f"{query_set}, k 10, seismic method, overlap {overlap:.2f}", best, at_k, 1.0, overlap))
    return rows


def batch_rows(results):
    rows = []
    for query_set, found in results["batch"].items():
        theirs = max((b["queries_per_s"] for n, b in found.items() if n.startswith("peer ")), default=None)
        for name, batch in found.items():
            who = f"{query_set}, batch at .95, {name}"
            note = f"{batch['resident'] / 1e6:.0f} MB resident ({batch['what']})"
            if name.startswith("peer "):
                rows.append(row(who, None, batch["queries_per_s"], unit="queries/s", note=note))
            else:
                rows.append(row(who, batch["queries_per_s"], theirs, unit="queries/s", note=note))
    return rows


def table(results):
    return [*search_rows(results["curves"]), *exact_rows(results), *build_rows(results),
            *seismic_rows(results["curves"]), *batch_rows(results)]


def show(results):
    m = results["machine"]
    print(f"{m['cpu']}, {m['cores']} cores; load average {m['load_average'][0]:.2f} at the start, "
          f"{', '.join(f'{load:.2f}' for load in results['load_averages'])} after each round")
    print(f"{', '.join(f'{name} {version}' for name, version in m['versions'].items())}, Python {m['python']}; "
          f"{results['rounds']} rounds, {results['seconds'] / 60:.1f} minutes\n")

    def number(x, digits=1):
        return "" if x is None else f"{x:.{digits}f}"

    print("| what | ours | Seismic | unit | ratio | bar | verdict | note |")
    print("|---|---|---|---|---|---|---|---|")
    for r in results["table"]:
        verdict = {True: "met", False: "MISSED", None: ""}[r["met"]]
        print(f"| {r['what']} | {number(r['ours'])} | {number(r['peer'])} | {r['unit']} | {number(r['ratio'], 3)} "
              f"| {number(r['bar'], 3)} | {verdict} | {r['note']} |")
    missed = sum(r["met"] is False for r in results["table"])
    print(f"\n{sum(r['met'] is True for r in results['table'])} met, {missed} missed")


def plot(curves, stem):
    """Overlap against time, a panel for each set of queries and k: PNG and SVG."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ks = sorted({k for at in curves.values() for k in at}, key=int)
    figure, axes = plt.subplots(len(ks), len(curves), figsize=(6.5 * len(curves), 4.2 * len(ks)), squeeze=False)
    for across, (query_set, at) in enumerate(curves.items()):
        for down, k in enumerate(ks):
            axis = axes[down][across]
            for name, points in sorted(at.get(k, {}).items()):
                line = front(points)
                if name == "exact":
                    axis.plot([p["us"] for p in line], [1] * len(line), "*", markersize=11, label=name)
                elif name != "auto":
                    label = name.replace("peer ", "Seismic, n_postings ")
                    style = "s--" if name.startswith("peer ") else "o-"
                    axis.plot([p["us"] for p in line], [p["overlap"] for p in line], style, markersize=3, label=label)
            axis.set(xscale="log", ylim=(.85, 1.005), xlabel="µs a query, one thread", ylabel=f"overlap@{k}",
                     title=f"{query_set} queries, k = {k}")
            axis.grid(which="both", alpha=.3)
            axis.legend(fontsize=8)
    figure.tight_layout()
    for kind in ("png", "svg"):
        figure.savefig(f"{stem}.{kind}", dpi=130)
    plt.close(figure)
