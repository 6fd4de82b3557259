/* The reference backends: plain C in float and in double. */
#ifndef MIXT_BACKEND_REF_REF_H
#define MIXT_BACKEND_REF_REF_H

#include "backend/backend.h"

/* Open with one thread. They cannot fail. */
enum status ref_float_open(struct backend *backend) STATUS_CHECKED;
enum status ref_double_open(struct backend *backend) STATUS_CHECKED;

/* Fill a whole table, so that another backend can start from it. */
void ref_float_set_ops(struct backend_ops *ops);
void ref_double_set_ops(struct backend_ops *ops);

#endif
