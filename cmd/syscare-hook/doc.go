// Command syscare-hook is what package scripts and plugins of package managers call.
// What the calls mean is in the table of package rpmhooks.
//
//	syscare-hook posttrans UUID      a patch has been installed
//	syscare-hook preun UUID COUNT    a patch is being erased; COUNT packages of that
//	                                 name stay
//	syscare-hook reconcile           packages have come and gone
//	syscare-hook list                the patches and what they are, as JSON
//	syscare-hook replaces PACKAGE... which active patches are for these packages, as
//	                                 a warning, before they are replaced
//	syscare-hook VERB PATCH...       apply, active, deactive, remove or accept
//
// In a chroot, an image build or without /proc there are no processes that could be
// looked at: it prints "deferred" and succeeds.
package main
