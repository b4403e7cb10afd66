/*
 * clock.c
 *	  stent.now(): the only source of time in the engine.
 *
 * Times are naive UTC: a timestamp without time zone whose value is the UTC
 * clock, so that neither the session's TimeZone nor a daylight-saving change
 * can reach a stored time. For tests a superuser may freeze or shift it.
 */
#include "postgres.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>

#include "common/int.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"

typedef struct ClockSetting
{
	enum
	{
		CLOCK_REAL,
		CLOCK_FROZEN,
		CLOCK_SHIFTED
	} mode;
	int64 value; /* the frozen time, or microseconds to add */
} ClockSetting;

static ClockSetting clock_setting = {CLOCK_REAL, 0};

Timestamp
clock_now(void)
{
	switch (clock_setting.mode)
	{
		case CLOCK_FROZEN:
			return (Timestamp) clock_setting.value;
		case CLOCK_SHIFTED:
			return (Timestamp) GetCurrentTimestamp() + clock_setting.value;
		case CLOCK_REAL:
			break;
	}
	return (Timestamp) GetCurrentTimestamp();
}

/* Reads "2026-01-31", "2026-01-31 10:00" or "2026-01-31 10:00:00.5". */
static bool
parse_moment(const char *text, int64 *out)
{
	struct pg_tm tm = {0};
	int used = 0;
	double seconds = 0;
	char separator;
	Timestamp result;

	if (sscanf(text, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &used) != 3)
		return false;
	text += used;
	if (*text != '\0')
	{
		used = 0;
		if (sscanf(text, "%c%2d:%2d%n", &separator, &tm.tm_hour, &tm.tm_min, &used) != 3 ||
			(separator != ' ' && separator != 'T'))
			return false;
		text += used;
		if (*text == ':')
		{
			used = 0;
			if (sscanf(text, ":%9lf%n", &seconds, &used) != 1)
				return false;
			text += used;
		}
		if (*text != '\0')
			return false;
	}
	if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
		tm.tm_mday > day_tab[isleap(tm.tm_year)][tm.tm_mon - 1] || tm.tm_hour < 0 ||
		tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || !(seconds >= 0 && seconds < 60))
		return false;
	if (tm2timestamp(&tm, 0, NULL, &result) != 0)
		return false;
	*out = result + (int64) rint(seconds * USECS_PER_SEC);
	return true;
}

/* GUC check hook: empty = real, +/-duration = shifted, a moment = frozen. */
bool
clock_check(char **newval, void **extra, GucSource source)
{
	ClockSetting parsed = {CLOCK_REAL, 0};
	const char *text = *newval ? *newval : "";

	if (*text == '+' || *text == '-')
	{
		Interval shift;

		if (!duration_parse(text + 1, &shift))
			goto bad;
		parsed.mode = CLOCK_SHIFTED;
		parsed.value = *text == '-' ? -interval_us(&shift) : interval_us(&shift);
	}
	else if (*text != '\0')
	{
		parsed.mode = CLOCK_FROZEN;
		if (!parse_moment(text, &parsed.value))
			goto bad;
	}
	*extra = compat_guc_malloc(sizeof(ClockSetting));
	if (*extra == NULL)
		return false;
	memcpy(*extra, &parsed, sizeof(parsed));
	return true;

bad:
	GUC_check_errdetail(
		"A moment such as \"2026-01-31 10:00:00\" freezes the clock, \"+1h30m\" or \"-2d\" shifts it, empty is the real clock.");
	return false;
}

void
clock_assign(const char *newval, void *extra)
{
	if (extra != NULL)
		clock_setting = *(ClockSetting *) extra;
}

PG_FUNCTION_INFO_V1(stent_now);
Datum
stent_now(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMP(clock_now());
}

/* Microseconds of an interval; a month counts 30 days. */
int64
interval_us(const Interval *interval)
{
	int64 days = (int64) interval->month * DAYS_PER_MONTH + interval->day;
	int64 us;

	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &us) ||
		pg_add_s64_overflow(us, interval->time, &us))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("interval out of range")));
	return us;
}

Interval *
interval_from_us(int64 us)
{
	Interval *interval = palloc0_object(Interval);

	interval->time = us;
	return interval;
}

/* The text that duration_parse reads as us, such as "1h30m" or "0.5s". */
char *
duration_text(int64 us)
{
	static const struct
	{
		int64 us;
		const char *unit;
	} units[] = {{USECS_PER_DAY, "d"}, {USECS_PER_HOUR, "h"}, {USECS_PER_MINUTE, "m"}};
	StringInfoData text;

	initStringInfo(&text);
	if (us < 0)
	{
		appendStringInfoChar(&text, '-');
		us = us == PG_INT64_MIN ? PG_INT64_MAX : -us;
	}
	for (int i = 0; i < (int) lengthof(units); i++)
	{
		if (us >= units[i].us)
			appendStringInfo(&text, INT64_FORMAT "%s", us / units[i].us, units[i].unit);
		us %= units[i].us;
	}
	if (us % USECS_PER_SEC != 0)
	{
		appendStringInfo(&text, "%d.%06d", (int) (us / USECS_PER_SEC), (int) (us % USECS_PER_SEC));
		while (text.data[text.len - 1] == '0')
			text.data[--text.len] = '\0';
		appendStringInfoChar(&text, 's');
	}
	else if (us > 0 || text.len == 0)
		appendStringInfo(&text, "%ds", (int) (us / USECS_PER_SEC));
	return text.data;
}

/* Refuse an interval option that is negative or longer than a century. */
void
interval_check(const Interval *interval, const char *what)
{
	int64 days = (int64) interval->month * DAYS_PER_MONTH + interval->day;
	char *shown = DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(interval)));

	if (days > MAX_DURATION_DAYS || days < -MAX_DURATION_DAYS ||
		interval->time > MAX_DURATION_DAYS * USECS_PER_DAY)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is too long: \"%s\"", what, shown),
						errhint("Give at most 36500 days.")));
	if (interval_us(interval) < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must not be negative: \"%s\"", what, shown),
						errhint("Give a positive interval, such as interval '5 minutes'.")));
}

/*
 * Reads <number><unit> tokens with units s m h d w, as in "1h30m" or "1.5h".
 * Outer blanks are trimmed; repeated units add up. False for anything else.
 */
bool
duration_parse(const char *text, Interval *out)
{
	const char *end;
	int64 us = 0;

	while (isspace((unsigned char) *text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char) end[-1]))
		end--;
	if (text == end)
		return false;

	memset(out, 0, sizeof(*out));
	while (text < end)
	{
		int64 whole = 0;
		int64 unit;
		int64 part;
		double fraction = 0;
		double scale = 0.1;

		if (!isdigit((unsigned char) *text))
			return false;
		for (; text < end && isdigit((unsigned char) *text); text++)
			if (pg_mul_s64_overflow(whole, 10, &whole) ||
				pg_add_s64_overflow(whole, *text - '0', &whole))
				return false;
		if (text < end && *text == '.')
		{
			text++;
			if (text == end || !isdigit((unsigned char) *text))
				return false;
			for (; text < end && isdigit((unsigned char) *text); text++, scale /= 10)
				fraction += (*text - '0') * scale;
		}
		if (text == end)
			return false;
		switch (*text++)
		{
			case 's':
				unit = USECS_PER_SEC;
				break;
			case 'm':
				unit = USECS_PER_MINUTE;
				break;
			case 'h':
				unit = USECS_PER_HOUR;
				break;
			case 'd':
				unit = USECS_PER_DAY;
				break;
			case 'w':
				unit = 7 * USECS_PER_DAY;
				break;
			default:
				return false;
		}
		if (pg_mul_s64_overflow(whole, unit, &part) ||
			pg_add_s64_overflow(part, (int64) rint(fraction * unit), &part) ||
			pg_add_s64_overflow(us, part, &us))
			return false;
		/* whole days are days, so that 2d8h reads back as it was written */
		if (unit >= USECS_PER_DAY && fraction == 0)
		{
			us -= part;
			part /= USECS_PER_DAY;
			if (part > INT_MAX / 2 - out->day)
				return false;
			out->day += (int32) part;
		}
	}
	/* interval_us must never overflow on what we return */
	if (us > PG_INT64_MAX / 4 || out->day > PG_INT64_MAX / 4 / USECS_PER_DAY)
		return false;
	out->time = us;
	return true;
}

PG_FUNCTION_INFO_V1(stent_duration);
Datum
stent_duration(PG_FUNCTION_ARGS)
{
	Interval *result = palloc0_object(Interval);
	char *given;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("duration must not be null"),
				 errhint("Write numbers with units s, m, h, d or w, such as 30s or 1h30m.")));
	given = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (!duration_parse(given, result))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_DATETIME_FORMAT), errmsg("invalid duration: \"%s\"", given),
			 errhint(
				 "Write numbers with units s, m, h, d or w and no blanks between, such as 30s, 1h30m or 1.5h.")));
	PG_RETURN_INTERVAL_P(result);
}
