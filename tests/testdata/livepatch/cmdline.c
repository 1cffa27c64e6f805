// /proc/cmdline says something else.
#include "by_hand.h"
#include <linux/seq_file.h>

static int patched_show(struct seq_file *m, void *v)
{
	seq_puts(m, "patched\n");
	return 0;
}

REPLACE("cmdline_proc_show", patched_show);
