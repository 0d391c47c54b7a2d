// Package diagnosis names what can be wrong with a network: a code for each kind of fault, with what
// it means, what causes it and what mends it. All that shows a fault takes the text from here.
package diagnosis
