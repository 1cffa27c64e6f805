/*
 * Arrays as large as the entries of the tables that the kernel has beside its code.
 */
#include <linux/version.h>
#include <linux/bug.h>
#include <linux/extable.h>
#include <linux/uaccess.h>
#include <linux/jump_label.h>
#include <asm/alternative.h>
#ifdef CONFIG_HAVE_STATIC_CALL_INLINE
#include <linux/static_call_types.h>
#endif
#ifdef CONFIG_PARAVIRT
#include <asm/paravirt_types.h>
#endif
#ifdef CONFIG_UNWINDER_ORC
#include <asm/orc_types.h>
#endif

#define SIZE_OF(name) char syscare_sizeof_##name[sizeof(struct name)]

#ifdef CONFIG_GENERIC_BUG
SIZE_OF(bug_entry);
#endif
SIZE_OF(exception_table_entry);
#ifdef CONFIG_JUMP_LABEL
SIZE_OF(jump_entry);
#endif
SIZE_OF(alt_instr);
#ifdef CONFIG_HAVE_STATIC_CALL_INLINE
SIZE_OF(static_call_site);
#endif
#if defined(CONFIG_PARAVIRT) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
SIZE_OF(paravirt_patch_site);
#endif
#ifdef CONFIG_UNWINDER_ORC
SIZE_OF(orc_entry);
#endif
