#ifndef NDM_DESCRIBE_H
#define NDM_DESCRIBE_H

#include "message.h"
#include "text.h"

/* A message for people: "route 10.0.0.0/8 via 192.0.2.1 table 100". */
void message_describe(enum thing thing, struct item message, struct text *out);

#endif
