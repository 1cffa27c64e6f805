// A livepatch that replaces one function of the kernel, made by hand.
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>

#define REPLACE(name, with)                                                   \
	static struct klp_func funcs[] = {{.old_name = name, .new_func = with}, {}}; \
	static struct klp_object objects[] = {{.funcs = funcs}, {}};                \
	static struct klp_patch patch = {.mod = THIS_MODULE, .objs = objects};      \
	static int __init start(void)                                               \
	{                                                                           \
		return klp_enable_patch(&patch);                                          \
	}                                                                           \
	static void __exit end(void)                                                \
	{                                                                           \
	}                                                                           \
	module_init(start);                                                         \
	module_exit(end);                                                           \
	MODULE_LICENSE("GPL");                                                      \
	MODULE_INFO(livepatch, "Y")
