package rpmhooks

import (
	"fmt"
	"strings"
)

// A Row says what one kind of transaction means.
type Row struct {
	Transaction string // what rpm or dnf does
	Runs        string // what of ours runs
	Processes   string // what becomes of running processes
	Failure     string // what a failure means for the transaction
}

// Table is what transactions mean, all of it. The end-to-end tests have one test for
// each row.
var Table = []Row{
	{"install", "%posttrans", "as `on_install` says: nothing (manual), patched (apply), patched and accepted (accept)", "a warning; the patch is registered"},
	{"reinstall", "%posttrans, %preun 1", "stay as they are", "none"},
	{"upgrade or downgrade of an active patch", "%preun 1 of the old package, when both are there", "the new code takes the place of the old, in each process in one stop; accepted stays accepted", "a warning; the old code stays and is accounted for; the next transaction tries again"},
	{"upgrade of a patch that is not active", "%preun 1, %posttrans", "as for an install", "a warning"},
	{"obsoleted by a cumulative patch", "%preun 0 of the old package, when both are there", "as for an upgrade", "the old package stays"},
	{"erase", "%preun 0", "the code is taken out, whatever state the patch is in", "the package stays, with the reason"},
	{"upgrade of the target", "the file trigger of SysCare's package", "old processes keep the patch until they end; new ones are new; then the patch is retired", "none"},
	{"erase of the target", "%preun 0 of its patches, which rpm erases with it", "the code is taken out", "nothing is erased"},
	{"in a chroot, an installroot, an image build, without /proc", "the same, which say \"deferred\"", "there are none; the service registers the patches when it starts", "none"},
	{"with --noscripts, or of a package without our scripts", "nothing, or the file trigger", "what is new is registered, what is gone is taken out, by the next reconciliation: of a transaction, or when the service starts", "none"},
	{"with --test", "nothing", "stay as they are", "none"},
	{"several patches at once", "%posttrans of each, in rpm's order", "each as for an install", "a warning for each"},
	{"killed half way", "what had its turn", "are whole; the next reconciliation does the rest", "none"},
	{"while SysCare's own package is gone", "nothing", "keep what they have until they end; a warning says so", "none"},
}

// Markdown is the table for people.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| Transaction | What runs | Running processes | If that fails |\n|---|---|---|---|\n")
	for _, r := range Table {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.Transaction, r.Runs, r.Processes, r.Failure)
	}
	return b.String()
}
