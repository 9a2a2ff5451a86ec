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
		said = fmt.Sprintf("; %s not reached by the operator, and calls there go on", podsAre(cutOff))
	}
	if waiting > 0 {
		said += fmt.Sprintf("; %s to be given up, one after another", podsAre(waiting))
	}
	return said
}

// podsAre begins a sentence about a number of pods.
func podsAre(number int) string {
	if number == 1 {
		return "1 pod is"
	}
	return fmt.Sprintf("%d pods are", number)
}
