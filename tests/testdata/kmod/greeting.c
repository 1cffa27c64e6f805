// SPDX-License-Identifier: GPL-2.0
// A kernel module that is no part of the kernel's sources: /proc/greeting.
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

static unsigned int greetings;

static int greeting_show(struct seq_file *m, void *v)
{
	seq_printf(m, "hello %u\n", ++greetings);
	return 0;
}

static int __init greeting_init(void)
{
	return proc_create_single("greeting", 0444, NULL, greeting_show) ? 0 : -ENOMEM;
}

static void __exit greeting_exit(void)
{
	remove_proc_entry("greeting", NULL);
}

module_init(greeting_init);
module_exit(greeting_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("greets");
