/*
 * conninfo.c
 *	  The connection options every command has, and how they become one conninfo.
 *
 * What they leave open is libpq's to find: PG* variables, a service file, ~/.pgpass.
 */
#include "options.h"

#include <stdio.h>
#include <string.h>

const Option options_of_all[] = {
	{'h', "host", "HOST", "The server's host, or the directory of its socket",
	 "PGHOST, else the local socket"},
	{'p', "port", "PORT", "The server's port", "PGPORT, else 5432"},
	{'U', "username", "NAME", "The role to connect as",
	 "PGUSER, else the name of the system's user"},
	{'d', "dbname", "DBNAME",
	 "The database; or a conninfo (\"host=db1 dbname=app\") or an URI (postgresql://db1/app), "
	 "of which the other options replace parts",
	 "PGDATABASE, else the role's name"},
	{'w', "no-password", NULL,
	 "Never ask for a password. Nobody ever asks: passwords come from PGPASSWORD or ~/.pgpass; "
	 "the option is there for scripts that use it with psql",
	 NULL},
	{OPTION_HELP, "help", NULL, "Show this page; -? as well", NULL},
	{0, NULL, NULL, NULL, NULL}};

/* Appends keyword='value' as a conninfo wants it quoted. */
static void
append_setting(char **end, const char *keyword, const char *value)
{
	char *p = *end;

	p += sprintf(p, "%s='", keyword);
	for (; *value; value++)
	{
		if (*value == '\'' || *value == '\\')
			*p++ = '\\';
		*p++ = *value;
	}
	*p++ = '\'';
	*p++ = ' ';
	*p = '\0';
	*end = p;
}

/* Appends keyword=value as an URI wants it encoded. */
static void
append_parameter(char **end, char separator, const char *keyword, const char *value)
{
	char *p = *end;

	p += sprintf(p, "%c%s=", separator, keyword);
	for (; *value; value++)
	{
		unsigned char c = (unsigned char) *value;

		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
			*p++ = *value;
		else
			p += sprintf(p, "%%%02X", c);
	}
	*p = '\0';
	*end = p;
}

char *
options_conninfo(const Options *options)
{
	char name[64];
	const struct
	{
		const char *keyword;
		const char *value;
	} given[] = {{"host", options->host},
				 {"port", options->port},
				 {"user", options->user},
				 {"fallback_application_name", name}};
	const char *dbname = options->dbname ? options->dbname : "";
	bool is_uri =
		strncmp(dbname, "postgresql://", 13) == 0 || strncmp(dbname, "postgres://", 11) == 0;
	size_t size = 3 * strlen(dbname) + 16;
	char separator = strchr(dbname, '?') ? '&' : '?';
	char *conninfo;
	char *end;

	snprintf(name, sizeof(name), "stent %s", options->page->name);
	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
		size += given[i].value ? 3 * strlen(given[i].value) + 64 : 0;
	end = conninfo = options_allocate(size);
	if (is_uri)
		end += sprintf(end, "%s", dbname);
	else if (strchr(dbname, '='))
		end += sprintf(end, "%s ", dbname);
	else if (options->dbname)
		append_setting(&end, "dbname", dbname);
	/* of a keyword given twice the last one holds, in both forms */
	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
	{
		if (!given[i].value)
			continue;
		if (is_uri)
			append_parameter(&end, separator, given[i].keyword, given[i].value);
		else
			append_setting(&end, given[i].keyword, given[i].value);
		separator = '&';
	}
	return conninfo;
}
