package mediapool

import "fmt"

// unreachable says, of the pods that are cut off, what a person has to know; "" when there are
// none.
func (o observed) unreachable() string {
	cutOff, waiting := 0, 0
	for _, pod := range o.pods {
		switch {
		case pod.dead() || pod.going():
		case pod.view.Waits:
			waiting++
		case pod.cutOff():
			cutOff++
		}
	}
	said := ""
	if cutOff > 0 {
		said = fmt.Sprintf("; %s not reached by the operator, and calls there go on", numbered(cutOff, "is", "are"))
	}
	if waiting > 0 {
		said += fmt.Sprintf("; %s to be given up, one after another", numbered(waiting, "is", "are"))
	}
	return said
}

// numbered returns a number of pods with a verb.
func numbered(pods int, one, several string) string {
	if pods == 1 {
		return "1 pod " + one
	}
	return fmt.Sprintf("%d pods %s", pods, several)
}
