// Package layout is the authority on where the videos of a composed recording are. It is pure.
package layout

// The shape of a cell: its height by its width.
const (
	lowest  = 9.0 / 16
	highest = 3.0 / 2
)

// Cell is the place of one video, in pixels from the top left corner.
type Cell struct {
	X, Y, Width, Height int
}

// BestFit returns the cells of n videos in a picture: the grid whose cells have the largest area,
// row by row. Rows with fewer videos are centred, and grow where height is left.
func BestFit(n, width, height int) []Cell {
	if n <= 0 {
		return nil
	}
	g := best(n, width, height)
	heights, total := make([]float64, g.rows), g.height*float64(g.rows)
	for row := range heights {
		heights[row] = g.height
		if in := g.in(row, n); in < g.columns {
			grown := min(g.height*float64(width)/(g.width*float64(in)), g.height+float64(height)-total)
			heights[row], total = grown, total-g.height+grown
		}
	}
	cells := make([]Cell, 0, n)
	y := (float64(height) - total) / 2
	for row, high := range heights {
		in, wide := g.in(row, n), g.width*high/g.height
		x := (float64(width) - wide*float64(in)) / 2
		for column := range in {
			cells = append(cells, Cell{int(x + wide*float64(column)), int(y), int(wide), int(high)})
		}
		y += high
	}
	return cells
}

// grid is so many columns and rows of cells of one size.
type grid struct {
	columns, rows int
	width, height float64
}

// in returns how many of n videos are in a row.
func (g grid) in(row, n int) int { return min(g.columns, n-row*g.columns) }

// best returns the grid whose cells are the largest; of two that are equal the one with fewer
// columns.
func best(n, width, height int) grid {
	var found grid
	for columns := 1; columns <= n; columns++ {
		rows := (n + columns - 1) / columns
		g := grid{columns, rows, float64(width / columns), float64(height / rows)}
		if shape := g.height / g.width; shape > highest {
			g.height = float64(int(g.width * highest))
		} else if shape < lowest {
			g.width = float64(int(g.height / lowest))
		}
		if g.width*g.height > found.width*found.height {
			found = g
		}
	}
	return found
}
