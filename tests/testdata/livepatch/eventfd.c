// Who reads an eventfd gets an error.
#include "by_hand.h"
#include <linux/fs.h>

static ssize_t patched_read(struct kiocb *iocb, struct iov_iter *to)
{
	return -EBADMSG;
}

REPLACE("eventfd_read", patched_read);
