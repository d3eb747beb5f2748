"""``?wait=``: what became of events just published."""
