// Package reconcile makes the kernel hold what a plan wants.
//
// Apply observes what the plan is about, compares it with what is wanted, and makes only the
// changes that are missing. A run that finds everything in place changes nothing. The next run
// completes one that was interrupted, and repairs what somebody altered. Apply never relies on what
// an earlier run did.
package reconcile
