// Package reconcile makes the kernel hold what a plan wants.
//
// Apply observes what the plan is about, compares it with what is wanted, and makes
// only the changes that are missing. So a run that finds everything in place
// changes nothing, a run that was interrupted is completed by the next, and
// to repair what somebody altered is just another run. It never relies on what
// an earlier run did.
package reconcile
