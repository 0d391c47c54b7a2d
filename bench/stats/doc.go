// Package stats summarises repeated measurements and says what can be told from them.
//
// It is made for noisy machines: medians rather than means, ratios of runs that were made right
// after each other rather than ratios of averages, and an interval with each, so that a difference
// which the noise could have made is not reported as one.
package stats
