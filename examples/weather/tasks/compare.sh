#!/bin/sh
# Monthly tables of any number of cities to one comparison: CSV, JSON and SVG.
#
#   compare.sh TITLE SOURCE WIDTH HEIGHT TABLE DOCUMENT PICTURE MONTHLY...
#
# MONTHLY: tables as year.sh writes them, one per city; months may be missing.
#
# Differences are of monthly means, each city minus the first. SOURCE is the
# line under the picture. All temperatures are degrees Celsius.
set -eu

if [ "$#" -lt 8 ]; then
    echo "usage: compare.sh TITLE SOURCE WIDTH HEIGHT TABLE DOCUMENT PICTURE MONTHLY..." >&2
    exit 2
fi
title=$1 source=$2 width=$3 height=$4 table=$5 document=$6 picture=$7
export title source width height table document picture
shift 7

exec awk '
function die(message) {
    print "compare: " message | "cat 1>&2"
    close("cat 1>&2")
    exit 1
}

function decimals(number,    text) {
    text = sprintf("%.2f", number)
    return text == "-0.00" ? "0.00" : text
}

function quoted(text,    i, c, result) {
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "\n" || c == "\r" || c == "\t")
            c = " "
        result = result (c == "\"" || c == "\\" ? "\\" c : c)
    }
    return "\"" result "\""
}

function xml(text,    i, c, result) {
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "&") c = "&amp;"
        else if (c == "<") c = "&lt;"
        else if (c == ">") c = "&gt;"
        else if (c == "\"") c = "&quot;"
        result = result c
    }
    return result
}

# "san_francisco" to "San Francisco".
function name_of(key,    word, count, i, result) {
    count = split(key, word, /[_ ]+/)
    for (i = 1; i <= count; i++)
        if (word[i] != "")
            result = result (result == "" ? "" : " ") toupper(substr(word[i], 1, 1)) substr(word[i], 2)
    return result
}

# Reads one monthly table as the next city.
function read_city(file,    line, status, rows, field, name, i, key, m) {
    while ((status = (getline line < file)) > 0) {
        sub(/\r$/, "", line)
        split(line, field, ",")
        if (!rows++) {
            for (name in column)
                delete column[name]
            for (i = 1; i in field; i++)
                column[field[i]] = i
            for (i = 1; i in wanted; i++)
                if (!(wanted[i] in column))
                    die(file ": no column \"" wanted[i] "\" in its header (" line ")")
            continue
        }
        key = field[column["city"]]
        m = field[column["month"]] + 0
        if (m < 1 || m > 12 || key == "")
            die(file ": not a row of a monthly table: " line)
        if (rows == 2) {
            if (key in number)
                die(file ": a second file of " key)
            number[key] = ++cities
            keys[cities] = key
            names[cities] = name_of(key)
        } else if (key != keys[cities])
            die(file ": a row of " key " in a file of " keys[cities])
        min[cities, m] = field[column["min_c"]] + 0
        mean[cities, m] = field[column["mean_c"]] + 0
        max[cities, m] = field[column["max_c"]] + 0
        hours[cities, m] = field[column["hours"]] + 0
        missing[cities, m] = field[column["hours_missing"]] + 0
        total[cities] += hours[cities, m]
        sum[cities] += mean[cities, m] * hours[cities, m]
        used[m] = 1
    }
    close(file)
    if (status < 0)
        die(file ": cannot be read")
    if (!rows)
        die(file ": empty")
    if (rows == 1)
        die(file ": no months in it")
}

# The difference of city c to the first city; `none` where one has no value.
function difference(c, m, none) {
    return ((c, m) in mean) && ((1, m) in mean) ? decimals(mean[c, m] - mean[1, m]) : none
}

function write_table(    out, c, m) {
    out = ENVIRON["table"]
    printf "month" > out
    for (c = 1; c <= cities; c++)
        printf ",%s_min_c,%s_mean_c,%s_max_c", keys[c], keys[c], keys[c] > out
    for (c = 2; c <= cities; c++)
        printf ",%s_minus_%s_c", keys[c], keys[1] > out
    printf "\n" > out
    for (m = 1; m <= 12; m++) {
        if (!(m in used))
            continue
        printf "%d", m > out
        for (c = 1; c <= cities; c++)
            if ((c, m) in mean)
                printf ",%s,%s,%s", decimals(min[c, m]), decimals(mean[c, m]), decimals(max[c, m]) > out
            else
                printf ",,," > out
        for (c = 2; c <= cities; c++)
            printf ",%s", difference(c, m, "") > out
        printf "\n" > out
    }
    close(out)
}

function write_document(    out, c, m, comma) {
    out = ENVIRON["document"]
    print "{" > out
    print "  \"title\": " quoted(ENVIRON["title"]) "," > out
    print "  \"source\": " quoted(ENVIRON["source"]) "," > out
    print "  \"unit\": \"degrees Celsius\"," > out
    print "  \"cities\": [" > out
    for (c = 1; c <= cities; c++)
        print "    {\"city\": " quoted(keys[c]) ", \"name\": " quoted(names[c]) \
            ", \"hours\": " sprintf("%d", total[c]) ", \"mean_c\": " decimals(sum[c] / total[c]) "}" \
            (c < cities ? "," : "") > out
    print "  ]," > out
    print "  \"difference_to\": " quoted(keys[1]) "," > out
    printf "  \"months\": [" > out
    for (m = 1; m <= 12; m++) {
        if (!(m in used))
            continue
        printf "%s\n    {\"month\": %d, \"name\": %s, \"cities\": {", comma, m, quoted(month_names[m]) > out
        comma = ","
        for (c = 1; c <= cities; c++) {
            printf "%s\n      %s: ", (c > 1 ? "," : ""), quoted(keys[c]) > out
            if ((c, m) in mean)
                printf "{\"min_c\": %s, \"mean_c\": %s, \"max_c\": %s, \"hours\": %d, \"hours_missing\": %d, \"difference_c\": %s}", \
                    decimals(min[c, m]), decimals(mean[c, m]), decimals(max[c, m]), \
                    hours[c, m], missing[c, m], difference(c, m, "null") > out
            else
                printf "null" > out
        }
        printf "\n    }}" > out
    }
    print "\n  ]" > out
    print "}" > out
    close(out)
}

function floor(number,    whole) {
    whole = int(number)
    return whole > number ? whole - 1 : whole
}

function x_of(m) { return sprintf("%.1f", left + 26 + (m - 1) * (right - left - 52) / 11) }
function y_of(value) { return sprintf("%.1f", bottom - (value - lowest) * (bottom - top) / (highest - lowest)) }

# Whole degrees, with a real minus sign.
function degrees(value) { return value < 0 ? "&#8722;" (-value) : value > 0 ? "" value : "0" }

# One decimal, with a real minus sign.
function tenths(value,    text) {
    text = sprintf("%.1f", value < 0 ? -value : value)
    return (value < 0 && text != "0.0" ? "&#8722;" : "") text
}

# Colour (Okabe and Ito) and shape of a city: both tell it from the others.
function color(c) { return colors[(c - 1) % color_count + 1] }

function marker(c, x, y, title,    shape, r, body) {
    shape = (c - 1) % 4
    body = "fill=\"" color(c) "\" stroke=\"#ffffff\" stroke-width=\"1.5\""
    if (title != "")
        title = "<title>" title "</title>"
    if (shape == 0)
        return "<circle cx=\"" x "\" cy=\"" y "\" r=\"4.6\" " body ">" title "</circle>"
    if (shape == 1) {
        r = 4.1
        return "<rect x=\"" sprintf("%.1f", x - r) "\" y=\"" sprintf("%.1f", y - r) \
            "\" width=\"8.2\" height=\"8.2\" " body ">" title "</rect>"
    }
    r = 5.6
    if (shape == 2)
        return "<path d=\"M" x " " sprintf("%.1f", y - r) "L" sprintf("%.1f", x + r) " " y "L" x " " \
            sprintf("%.1f", y + r) "L" sprintf("%.1f", x - r) " " y "Z\" " body ">" title "</path>"
    return "<path d=\"M" x " " sprintf("%.1f", y - r) "L" sprintf("%.1f", x + r) " " sprintf("%.1f", y + 4.2) \
        "L" sprintf("%.1f", x - r) " " sprintf("%.1f", y + 4.2) "Z\" " body ">" title "</path>"
}

# Calls for the runs of months a city has without a gap.
function write_city(out, c, what,    m, first) {
    first = 0
    for (m = 1; m <= 13; m++) {
        if (m <= 12 && ((c, m) in mean)) {
            if (!first)
                first = m
        } else if (first) {
            if (what == "band")
                write_band(out, c, first, m - 1)
            else if (m - 1 > first)
                write_line(out, c, first, m - 1)
            first = 0
        }
    }
}

function write_band(out, c, first, last,    m, path) {
    if (first == last) {
        # A month alone: a bar.
        printf "<path d=\"M%.1f %sH%.1fV%sH%.1fZ\"", x_of(first) - 6, y_of(max[c, first]), \
            x_of(first) + 6, y_of(min[c, first]), x_of(first) - 6 > out
    } else {
        for (m = first; m <= last; m++)
            path = path (m == first ? "M" : "L") x_of(m) " " y_of(max[c, m])
        for (m = last; m >= first; m--)
            path = path "L" x_of(m) " " y_of(min[c, m])
        printf "<path d=\"%sZ\"", path > out
    }
    print " fill=\"" color(c) "\" fill-opacity=\"0.15\" stroke=\"" color(c) \
        "\" stroke-opacity=\"0.4\" stroke-width=\"0.8\" stroke-linejoin=\"round\"/>" > out
}

function write_line(out, c, first, last,    m, points) {
    for (m = first; m <= last; m++)
        points = points (m == first ? "" : " ") x_of(m) "," y_of(mean[c, m])
    print "<polyline points=\"" points "\" fill=\"none\" stroke=\"" color(c) \
        "\" stroke-width=\"2.6\" stroke-linejoin=\"round\" stroke-linecap=\"round\"/>" > out
}

function write_picture(    out, width, height, c, m, x, y, step, value, low, high, size, note, legend) {
    out = ENVIRON["picture"]
    width = ENVIRON["width"] + 0
    height = ENVIRON["height"] + 0
    if (width < 480 || height < 320)
        die("the picture must be at least 480 wide and 320 high, not " ENVIRON["width"] " by " ENVIRON["height"])

    # The legend, in as many rows as it takes, then what it leaves.
    left = 56
    right = width - 28
    x = 28
    y = 92
    for (c = 1; c <= cities; c++) {
        note = "mean " tenths(sum[c] / total[c]) " &#176;C"
        size = 44 + length(names[c]) * 8 + 104
        if (x > 28 && x + size > right) {
            x = 28
            y += 24
        }
        legend = legend "<g transform=\"translate(" x " " y ")\">" \
            "<rect x=\"0\" y=\"-8\" width=\"32\" height=\"16\" rx=\"2\" fill=\"" color(c) "\" fill-opacity=\"0.15\" stroke=\"" \
            color(c) "\" stroke-opacity=\"0.4\" stroke-width=\"0.8\"/>" \
            "<path d=\"M0 0H32\" stroke=\"" color(c) "\" stroke-width=\"2.6\"/>" marker(c, 16, 0, "") \
            "<text x=\"40\" y=\"4.5\" font-size=\"13.5\" fill=\"#1f2933\">" xml(names[c]) \
            "<tspan dx=\"7\" fill=\"#66727f\">" note "</tspan></text></g>\n"
        x += size + 16
    }
    top = y + 52
    if (height < top + 230)
        height = top + 230
    bottom = height - 66

    # A scale of 4 to 9 steps around the data.
    low = ""
    for (c = 1; c <= cities; c++)
        for (m = 1; m <= 12; m++)
            if ((c, m) in mean) {
                if (low == "" || min[c, m] < low) low = min[c, m]
                if (high == "" || max[c, m] > high) high = max[c, m]
            }
    step = high - low <= 8 ? 1 : high - low <= 16 ? 2 : high - low <= 40 ? 5 : high - low <= 80 ? 10 : 20
    lowest = floor(low / step) * step
    highest = -floor(-high / step) * step
    if (highest == lowest)
        highest += step

    print "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" width "\" height=\"" height \
        "\" viewBox=\"0 0 " width " " height "\" role=\"img\" aria-labelledby=\"title description\"" \
        " font-family=\"system-ui, -apple-system, Segoe UI, Helvetica, Arial, DejaVu Sans, sans-serif\">" > out
    print "<title id=\"title\">" xml(ENVIRON["title"]) "</title>" > out
    printf "<desc id=\"description\">Monthly mean temperatures in degrees Celsius as lines, in bands from the coldest to the hottest hour of the month:" > out
    for (c = 1; c <= cities; c++)
        printf "%s %s (mean %s)", (c > 1 ? "," : ""), xml(names[c]), tenths(sum[c] / total[c]) > out
    print ".</desc>" > out
    print "<rect width=\"" width "\" height=\"" height "\" fill=\"#ffffff\"/>" > out
    print "<text x=\"28\" y=\"40\" font-size=\"21\" font-weight=\"600\" fill=\"#1f2933\">" xml(ENVIRON["title"]) "</text>" > out
    print "<text x=\"28\" y=\"62\" font-size=\"13.5\" fill=\"#66727f\">Line: mean of the month. Band: from its coldest to its hottest hour.</text>" > out
    printf "%s", legend > out

    print "<g stroke=\"#e3e7eb\" stroke-width=\"1\">" > out
    for (value = lowest; value <= highest; value += step)
        print "<path d=\"M" left " " y_of(value) "H" right "\"" (value == 0 && lowest < 0 ? " stroke=\"#9aa5b1\"" : "") "/>" > out
    print "</g>" > out
    print "<g font-size=\"12.5\" fill=\"#52606d\" text-anchor=\"end\">" > out
    for (value = lowest; value <= highest; value += step)
        printf "<text x=\"%d\" y=\"%.1f\">%s</text>\n", left - 10, y_of(value) + 4.3, degrees(value) > out
    print "</g>" > out
    print "<text x=\"28\" y=\"" (top - 16) "\" font-size=\"12.5\" fill=\"#52606d\">Temperature, &#176;C</text>" > out
    print "<g stroke=\"#9aa5b1\" stroke-width=\"1\">" > out
    print "<path d=\"M" left " " bottom "H" right "\"/>" > out
    for (m = 1; m <= 12; m++)
        print "<path d=\"M" x_of(m) " " bottom "v6\"/>" > out
    print "</g>" > out
    print "<g font-size=\"12.5\" fill=\"#52606d\" text-anchor=\"middle\">" > out
    for (m = 1; m <= 12; m++)
        print "<text x=\"" x_of(m) "\" y=\"" (bottom + 22) "\">" substr(month_names[m], 1, 3) "</text>" > out
    print "</g>" > out

    for (c = 1; c <= cities; c++)
        write_city(out, c, "band")
    for (c = 1; c <= cities; c++)
        write_city(out, c, "line")
    for (c = 1; c <= cities; c++)
        for (m = 1; m <= 12; m++)
            if ((c, m) in mean)
                print marker(c, x_of(m), y_of(mean[c, m]), xml(names[c]) ", " month_names[m] ": mean " \
                    tenths(mean[c, m]) " &#176;C, from " tenths(min[c, m]) " to " tenths(max[c, m]) " &#176;C") > out

    print "<text x=\"28\" y=\"" (height - 16) "\" font-size=\"11.5\" fill=\"#7b8794\">" xml(ENVIRON["source"]) "</text>" > out
    print "</svg>" > out
    close(out)
}

BEGIN {
    split("city month min_c mean_c max_c hours hours_missing", wanted, " ")
    split("January February March April May June July August September October November December", month_names, " ")
    color_count = split("#0072b2 #d55e00 #009e73 #cc79a7 #56b4e9 #e69f00 #5c5c5c", colors, " ")
    for (a = 1; a < ARGC; a++)
        read_city(ARGV[a])

    write_table()
    write_document()
    write_picture()

    for (m = 1; m <= 12; m++)
        months += m in used
    printf "%d %s, %d %s\n", cities, (cities == 1 ? "city" : "cities"), months, (months == 1 ? "month" : "months")
    for (c = 1; c <= cities; c++)
        printf "%s: mean %s C%s\n", keys[c], decimals(sum[c] / total[c]), \
            (c > 1 ? ", " decimals(sum[c] / total[c] - sum[1] / total[1]) " C from " keys[1] : "")
}
' "$@"
