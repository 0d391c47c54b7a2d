// Package reconcile makes the kernel hold what package plan asks for.
//
// It observes the links concerned, compares them with the ones wanted and makes
// only the changes that are missing, so a run that finds everything in place
// changes nothing, a run that was interrupted is completed by the next, and
// repairing what somebody altered is just another run. It never relies on what
// an earlier run did.
package reconcile
