package output

import "github.com/clipperhouse/displaywidth"

// Width is how many columns of a terminal text takes: two for most of East Asia's characters, none
// for an accent that joins the letter before it.
func Width(text string) int { return displaywidth.String(text) }

// cutMark stands for what was cut off.
const cutMark = "…"

// Cut makes text fit so many columns. It leaves no half of a character.
func Cut(text string, width int) string {
	if width <= 0 {
		return ""
	}
	return displaywidth.TruncateString(text, width, cutMark)
}
