// Package report writes what was measured: tables as Markdown, and plots as SVG.
package report
