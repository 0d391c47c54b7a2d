// Package survey finds out the facts about this host that doctor's checks look at. It changes
// nothing.
package survey
