/*
 * httpd_date.c - dates as HTTP writes them (RFC 9110, 5.6.7).
 *
 * strftime() and strptime() would do it in the language of the locale, and slowly.
 */
#include "httpd_connection.h"

#include <stdio.h>
#include <string.h>

static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static char *put_digits(char *to, int number)
{
    to[0] = (char)('0' + number / 10 % 10);
    to[1] = (char)('0' + number % 10);
    return to + 2;
}

void skua_httpd_date_format(time_t when, char date[HTTPD_DATE_BYTES])
{
    struct tm tm;
    char *to = date;
    if (gmtime_r(&when, &tm) == NULL || tm.tm_year < 0 || tm.tm_year > 9999 - 1900) {
        when = 0;
        (void)gmtime_r(&when, &tm);
    }
    memcpy(to, days[tm.tm_wday], 3);
    to[3] = ',';
    to[4] = ' ';
    to = put_digits(to + 5, tm.tm_mday);
    *to++ = ' ';
    memcpy(to, months[tm.tm_mon], 3);
    to[3] = ' ';
    to = put_digits(to + 4, (tm.tm_year + 1900) / 100);
    to = put_digits(to, tm.tm_year % 100);
    *to++ = ' ';
    to = put_digits(to, tm.tm_hour);
    *to++ = ':';
    to = put_digits(to, tm.tm_min);
    *to++ = ':';
    to = put_digits(to, tm.tm_sec);
    memcpy(to, " GMT", 5);
}

static int month_of(const char *name)
{
    for (int i = 0; i < 12; i++) {
        if (memcmp(months[i], name, 3) == 0)
            return i;
    }
    return -1;
}

time_t skua_httpd_date_parse(const char *text, size_t size)
{
    char copy[64];
    char month[4];
    struct tm tm = {0};
    int used = 0;
    if (size >= sizeof(copy))
        return -1;
    memcpy(copy, text, size);
    copy[size] = '\0';
    if (sscanf(copy, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &tm.tm_mday, month,
               &tm.tm_year, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) == 6 &&
        used > 0) {
        tm.tm_year -= 1900;
    } else if (sscanf(copy, "%*[A-Za-z], %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", &tm.tm_mday, month,
                      &tm.tm_year, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) == 6 &&
               used > 0) {
        tm.tm_year += tm.tm_year < 70 ? 100 : 0;
    } else if (sscanf(copy, "%*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", month, &tm.tm_mday,
                      &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &tm.tm_year, &used) == 6 &&
               used > 0) {
        tm.tm_year -= 1900;
    } else {
        return -1;
    }
    tm.tm_mon = strlen(month) == 3 ? month_of(month) : -1;
    if (tm.tm_mon < 0 || (size_t)used != size)
        return -1;
    return timegm(&tm);
}
