#!/bin/sh
# One month of hourly temperatures to one row per day.
#
#   daily.sh INPUT OUTPUT CITY MONTH
#
# INPUT is a CSV file with a header line. It has a column `temp` (degrees
# Fahrenheit; empty, NA or NaN: no reading) and a column `date` (year, month,
# day, hour, in this order; whatever separates them and follows them does not
# matter). The order of columns does not matter, nor do other columns. Fields
# hold no commas.
#
# OUTPUT: city,date,min_c,mean_c,max_c,hours (degrees Celsius; `hours`: hours
# with a reading). A day without a reading has no row.
set -eu

if [ "$#" -ne 4 ]; then
    echo "usage: daily.sh INPUT OUTPUT CITY MONTH" >&2
    exit 2
fi
case $3 in
    *[,\"]*) echo "daily: $3: a city's key must hold no comma and no quote" >&2; exit 1 ;;
esac

input=$1 output=$2 city=$3 month=$4 awk -F, '
function die(message) {
    print "daily: " message | "cat 1>&2"
    failed = 1
    exit 1
}

function here(message) {
    return ENVIRON["input"] ":" NR ": " message
}

# A field without the blanks and quotes around it.
function plain(field) {
    gsub(/^[ \t\r]*"?|"?[ \t\r]*$/, "", field)
    return field
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

BEGIN { month = ENVIRON["month"] + 0 }

NR == 1 {
    for (i = 1; i <= NF; i++)
        column[tolower(plain($i))] = i
    header = $0
    sub(/\r$/, "", header)
    if (!("temp" in column))
        die(ENVIRON["input"] ": no column \"temp\" in its header (" header ")")
    if (!("date" in column))
        die(ENVIRON["input"] ": no column \"date\" in its header (" header ")")
    next
}

/^[ \t\r]*$/ { next }

{
    text = plain($column["date"])
    moment = text
    gsub(/[^0-9]+/, " ", moment)
    if (split(moment, part, " ") < 4 || part[1] < 1000)
        die(here("not a date and hour: \"" text "\""))
    y = part[1] + 0; m = part[2] + 0; d = part[3] + 0; h = part[4] + 0
    if (m < 1 || m > 12 || d < 1 || d > days_in(y, m) || h > 23)
        die(here("no such date and hour: \"" text "\""))
    if (m != month)
        die(here("a row of month " m " in a file of month " month))
    if (year == "")
        year = y
    if (y != year)
        die(here("a row of " y " in a file of " year))

    text = plain($column["temp"])
    if (text == "" || tolower(text) == "na" || tolower(text) == "nan")
        next
    if (text !~ /^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)$/)
        die(here("not a temperature: \"" text "\""))
    c = (text - 32) * 5 / 9

    if (!n[d] || c < min[d]) min[d] = c
    if (!n[d] || c > max[d]) max[d] = c
    n[d]++
    sum[d] += c
    if ((d, h) in seen)
        repeated++
    else {
        seen[d, h] = 1
        hours[d]++
    }
}

END {
    if (failed)
        exit 1
    if (NR == 0)
        die(ENVIRON["input"] ": empty")
    for (d = 1; d <= 31; d++)
        readings += n[d]
    if (!readings)
        die(ENVIRON["input"] ": no temperatures in it")

    out = ENVIRON["output"]
    print "city,date,min_c,mean_c,max_c,hours" > out
    last = days_in(year, month)
    for (d = 1; d <= last; d++) {
        if (!n[d])
            continue
        printf "%s,%04d-%02d-%02d,%s,%s,%s,%d\n", ENVIRON["city"], year, month, d, \
            decimals(min[d]), decimals(sum[d] / n[d]), decimals(max[d]), hours[d] > out
        if (!total || min[d] < low) low = min[d]
        if (!total || max[d] > high) high = max[d]
        total += hours[d]
        all += sum[d]
    }
    close(out)

    name = sprintf("%s %04d-%02d", ENVIRON["city"], year, month)
    printf "%s: %d of %d hours, %d missing\n", name, total, last * 24, last * 24 - total
    if (repeated)
        printf "%s: %d readings more than one an hour\n", name, repeated
    printf "%s: %s to %s C, mean %s C\n", name, decimals(low), decimals(high), decimals(all / readings)
}
' < "$1"
