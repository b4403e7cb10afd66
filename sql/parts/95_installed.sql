SELECT stent._installed();
