#!/bin/sh
# A city's daily tables to one row per month, and the year in a few numbers.
#
#   year.sh CITY TABLE SUMMARY DAILY...
#
# DAILY: tables as daily.sh writes them, one per month; months may be missing.
#
# TABLE: city,month,min_c,mean_c,max_c,hours,hours_missing (degrees Celsius;
# a mean is the mean over hours, not over days). SUMMARY: a JSON object.
set -eu

if [ "$#" -lt 4 ]; then
    echo "usage: year.sh CITY TABLE SUMMARY DAILY..." >&2
    exit 2
fi
case $1 in
    *[,\"]*) echo "year: $1: a city's key must hold no comma and no quote" >&2; exit 1 ;;
esac
city=$1 table=$2 summary=$3
export city table summary
shift 3

exec awk '
function die(message) {
    print "year: " message | "cat 1>&2"
    close("cat 1>&2")
    exit 1
}

function days_in(year, month) {
    if (month == 2)
        return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31
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

# Reads one daily table.
function read_month(file,    line, status, rows, field, name, i, y, m, low, mean, high, h) {
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
        y = substr(field[column["date"]], 1, 4) + 0
        m = substr(field[column["date"]], 6, 2) + 0
        low = field[column["min_c"]] + 0
        mean = field[column["mean_c"]] + 0
        high = field[column["max_c"]] + 0
        h = field[column["hours"]] + 0
        if (m < 1 || m > 12 || h < 1)
            die(file ": not a row of a daily table: " line)
        if (rows == 2 && m in hours)
            die(file ": a second file of month " m)
        if (!(m in hours) || low < min[m]) min[m] = low
        if (!(m in hours) || high > max[m]) max[m] = high
        hours[m] += h
        sum[m] += mean * h
        possible[m] = days_in(y, m) * 24
        if (coldest == "" || mean < coldest_mean) {
            coldest_mean = mean
            coldest = "{\"date\": " quoted(field[column["date"]]) ", \"min_c\": " decimals(low) \
                ", \"mean_c\": " decimals(mean) ", \"max_c\": " decimals(high) "}"
            coldest_date = field[column["date"]]
        }
        if (hottest == "" || mean > hottest_mean) {
            hottest_mean = mean
            hottest = "{\"date\": " quoted(field[column["date"]]) ", \"min_c\": " decimals(low) \
                ", \"mean_c\": " decimals(mean) ", \"max_c\": " decimals(high) "}"
            hottest_date = field[column["date"]]
        }
    }
    close(file)
    if (status < 0)
        die(file ": cannot be read")
    if (!rows)
        die(file ": empty")
    if (rows == 1)
        die(file ": no days in it")
}

BEGIN {
    city = ENVIRON["city"]; table = ENVIRON["table"]; summary = ENVIRON["summary"]
    split("date min_c mean_c max_c hours", wanted, " ")
    for (a = 1; a < ARGC; a++)
        read_month(ARGV[a])

    print "city,month,min_c,mean_c,max_c,hours,hours_missing" > table
    for (m = 1; m <= 12; m++) {
        if (!(m in hours))
            continue
        printf "%s,%d,%s,%s,%s,%d,%d\n", city, m, decimals(min[m]), decimals(sum[m] / hours[m]), \
            decimals(max[m]), hours[m], possible[m] - hours[m] > table
        if (!months || min[m] < low) low = min[m]
        if (!months || max[m] > high) high = max[m]
        months++
        total += hours[m]
        missing += possible[m] - hours[m]
        all += sum[m]
    }
    close(table)

    print "{" > summary
    print "  \"city\": " quoted(city) "," > summary
    print "  \"months\": " months "," > summary
    print "  \"hours\": " total "," > summary
    print "  \"hours_missing\": " missing "," > summary
    print "  \"min_c\": " decimals(low) "," > summary
    print "  \"mean_c\": " decimals(all / total) "," > summary
    print "  \"max_c\": " decimals(high) "," > summary
    print "  \"coldest_day\": " coldest "," > summary
    print "  \"hottest_day\": " hottest > summary
    print "}" > summary
    close(summary)

    printf "%s: %d of 12 months, %d hours, %d missing\n", city, months, total, missing
    printf "%s: coldest day %s (mean %s C), hottest day %s (mean %s C)\n", city, \
        coldest_date, decimals(coldest_mean), hottest_date, decimals(hottest_mean)
}
' "$@"
