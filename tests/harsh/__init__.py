"""What strangers, rough networks and operators' mistakes do to a live cluster."""
