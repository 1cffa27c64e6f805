// A livepatch made by hand: who reads an eventfd gets an error.
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/fs.h>

static ssize_t patched_read(struct kiocb *iocb, struct iov_iter *to)
{
	pr_info("eventfd_read is patched\n");
	return -EBADMSG;
}

static struct klp_func funcs[] = {{.old_name = "eventfd_read", .new_func = patched_read}, {}};
static struct klp_object objects[] = {{.funcs = funcs}, {}};
static struct klp_patch patch = {.mod = THIS_MODULE, .objs = objects};

static int __init start(void)
{
	return klp_enable_patch(&patch);
}

static void __exit end(void)
{
}

module_init(start);
module_exit(end);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
