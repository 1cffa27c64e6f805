// Command syscare-hook is what the scriptlets of patch packages call.
//
//	syscare-hook posttrans UUID     the patch has been installed
//	syscare-hook preun UUID COUNT   the patch is being erased; COUNT packages
//	                                of that name stay
//
// Patches are registered by being installed; applying them is left to the
// administrator, so posttrans changes nothing. preun takes a patch that is
// erased out of all processes, whatever its state, and fails the erase if it
// cannot. On an upgrade (COUNT of 1 and above) it always succeeds: a failure
// would leave both versions installed.
//
// In a chroot, an image build or without /proc there are no processes that
// could be looked at: it prints "deferred" and succeeds.
package main
