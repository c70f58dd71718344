"""Where the values of one level of one image lie, and how to fetch them from any thread."""
