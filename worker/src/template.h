/*
 * template.h
 *	  Text with places a task fills in: "{args.size}", "{task.id}", "{headers.x}".
 */
#ifndef STENT_WORKER_TEMPLATE_H
#define STENT_WORKER_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "stent.h"

typedef struct Template Template;

typedef enum TemplateStatus
{
	TEMPLATE_OK,
	TEMPLATE_MISSING, /* the task does not have what the template names */
	TEMPLATE_NUL,     /* a value has a NUL character, which no argument can carry */
	TEMPLATE_NO_MEMORY
} TemplateStatus;

/* Reads a template; NULL with the reason in problem. */
extern Template *template_new(const char *text, char *problem, size_t size);
extern void template_free(Template *tpl);
/* Whether it has no places, and so is the same text for every task. */
extern bool template_is_plain(const Template *tpl);
/* The text for a task, prefix before it, in *text, which the caller frees; else the reason in problem. */
extern TemplateStatus template_expand(const Template *tpl, const char *prefix,
									  const StentTask *task, char **text, char *problem,
									  size_t size);

#endif
