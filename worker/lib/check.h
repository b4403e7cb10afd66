/*
 * check.h
 *	  Arguments that cannot be right are refused before anything is sent.
 */
#ifndef STENT_CHECK_H
#define STENT_CHECK_H

#include "stent.h"

extern StentStatus check_name(const char *name, const char *what, StentError *error);
extern StentStatus check_filters(StentNames functions, StentNames queues, StentNames tags,
								 StentError *error);
extern StentStatus check_names(StentNames names, const char *what, StentError *error);

#endif
