//go:build race

package replica

// raceDetector tells that the test is slower, and larger, by what the race detector needs.
const raceDetector = true
