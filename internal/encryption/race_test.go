//go:build race

package encryption

// raceDetector tells that the test is slower, and larger, by what the race detector needs.
const raceDetector = true
