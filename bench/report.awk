# Prints the table. First file: "key<TAB>value", one line a round, in the order
# of rounds. Second file: "name<TAB>key<TAB>key of the yardstick<TAB>goal", where
# a goal is >= of the ratio, <= of the value, or <= of the ratio if an x follows. The ratio is the median of the
# rounds' ratios; "best" is the ratio of the two best rounds, which what else the
# machine does disturbs least. A title whose goal is "lower" opens rows of which
# the lowest are the best.
BEGIN {
    FS = "\t"
    format = "%-44s %9s  %-17s %9s  %6s  %-11s %5s  %-8s  %s\n"
    printf format, "name", "value", "min-max", "yardstick", "ratio", "min-max", "best", "goal", ""
}

NR == FNR {
    value[$1, ++rounds[$1]] = $2
    if ($2 == "void")
        void[$1] = 1
    next
}

$2 == "" { print ""; print $1; lower = $4 == "lower"; next }

($2 in void) || ($3 in void) { printf format, $1, "VOID", "a check failed", "", "", "", "", $4, "VOID"; short++; next }

!($2 in rounds) { next }

{
    n = rounds[$2]
    for (i = 1; i <= n; i++)
        mine[i] = value[$2, i]
    middle = median(mine, n)
    spread = n > 1 ? show(mine[1]) "-" show(mine[n]) : ""
    yard = ratio = ratio_spread = best = ""
    if ($3 in rounds) {
        for (i = 1; i <= n; i++) {
            yards[i] = value[$3, i]
            ratios[i] = quotient(value[$2, i], value[$3, i])
        }
        yard = show(median(yards, n))
        best = n > 1 ? quotient(mine[lower ? 1 : n], yards[lower ? 1 : n]) : ""
        number = median(ratios, n)
        ratio = sprintf("%.2f", number)
        ratio_spread = n > 1 ? sprintf("%.2f-%.2f", ratios[1], ratios[n]) : ""
    }
    verdict = ""
    if ($4 != "") {
        limit = substr($4, 4) + 0
        good = substr($4, 1, 2) == ">=" ? number >= limit : ($4 ~ /x$/ ? number : middle) <= limit
        verdict = good ? "ok" : "SHORT"
        if (!good)
            short++
    }
    printf format, $1, show(middle), spread, yard, ratio, ratio_spread, best, $4, verdict
}

END { print ""; print short + 0 " short of their goals or void" }

function quotient(a, b) { return b == 0 ? "-" : sprintf("%.2f", a / b) }

function show(x) { return sprintf(x < 10 ? "%.2f" : "%.0f", x) }

# Sorts a[1..n] on the way.
function median(a, n,    i, j, x) {
    for (i = 2; i <= n; i++) {
        x = a[i]
        for (j = i - 1; j >= 1 && a[j] + 0 > x + 0; j--)
            a[j + 1] = a[j]
        a[j + 1] = x
    }
    return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
}
